#include "server/api_forms.h"

const struct api_form *const api_forms[] = {
    &api_openai_chat, &api_openai_completion, &api_openai_embedding, &api_openai_count, &api_openai_response,
    &api_openai_response_count, NULL,
};
