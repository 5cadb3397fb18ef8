/* hf.h - a folder as it comes from the Hugging Face Hub, opened in place as if it were a GGUF file.
 *
 * config.json, generation_config.json, tokenizer.json (or tekken.json, or tokenizer.model), tokenizer_config.json,
 * special_tokens_map.json and chat_template.jinja become keys with GGUF's names; the tensors of the safetensors files become
 * tensors with GGUF's names, used where they lie.  What differs from a GGUF file of the same model:
 *   - Q and K of the llama family are not permuted; key {arch}.rope.half_split says so.
 *   - The experts of a layer lie apart: struct gguf_tensor.slice.
 *   - Vectors (norms, biases) are copies in float32, since the arithmetic wants them so; Gemma's norms get their +1.
 *   - Keys hearth.tokenizer.*, for what GGUF has no key for (below).
 * A tensor or a setting that is not understood is an error that names it: nothing is ignored that would change the result.
 *
 *   hearth.tokenizer.ignore_merges  bool    a word that is a token as a whole is not merged
 *   hearth.tokenizer.merges         bool    a llama vocabulary is merged by its list of merges, not by scores
 *   hearth.tokenizer.prefix          u32     when add_space_prefix adds none: 1 behind special tokens, + 2 before a space
 *   hearth.tokenizer.nfc            bool    text is composed (NFC) first
 *   hearth.tokenizer.after_bos      u32     follows the first token where that is added (GLM-4 begins with two)
 *   hearth.tokenizer.strip          i32[]   pairs of id and 1 (swallows white space to its left) + 2 (to its right); that it
 *                                           is there says that the types of tokens are exact: nothing is guessed from texts
 * Threads: as gguf.h. */
#ifndef HEARTH_FORMAT_HF_H
#define HEARTH_FORMAT_HF_H

#include <stdbool.h>

#include "format/gguf.h"

/* path is the folder, or its config.json, model.safetensors or model.safetensors.index.json.  A folder without weights gives
 * a model of keys only.  *out is the caller's (gguf_close), NULL on failure. */
int hf_open(struct gguf **out, const char *path, struct err *err);

/* Opens whatever path is: such a folder (or one of the files named above), or a GGUF file. */
int model_file_open(struct gguf **out, const char *path, struct err *err);

#endif
