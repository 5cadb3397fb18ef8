/* api_forms.h - every form of every dialect, for tests and fuzzing. */
#ifndef HEARTH_SERVER_API_FORMS_H
#define HEARTH_SERVER_API_FORMS_H

#include "server/api_anthropic.h"
#include "server/api_llama.h"
#include "server/api_lmstudio.h"
#include "server/api_ollama.h"
#include "server/api_openai.h"

extern const struct api_form *const api_forms[];                /* NULL at the end */

#endif
