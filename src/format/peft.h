/* peft.h - adapters from files: GGUF, or a folder of PEFT or mlx-lm opened as if it were a GGUF adapter.
 *
 * PEFT: adapter_config.json, adapter_model.safetensors with base_model.model.MODULE.lora_A.weight [rank, in] and .lora_B.weight
 * [out, rank]; embeddings have lora_embedding_A [rank, vocabulary] and lora_embedding_B [width, rank].  mlx-lm:
 * adapters.safetensors with MODULE.lora_a [in, rank] and .lora_b [rank, out].  The result has general.type "adapter",
 * GGUF's names ("X.lora_a", "X.lora_b", X a tensor of the model) and adapter.lora.alpha, of which the scale alpha / rank
 * follows; where tensors differ in their scales it is folded into B.  The experts of a layer become one stack, those without
 * an adapter zeros.
 * What would change the result and is not understood (DoRA, trained biases, whole trained copies) is an error that names it.
 * Threads: as gguf.h. */
#ifndef HEARTH_FORMAT_PEFT_H
#define HEARTH_FORMAT_PEFT_H

#include "format/gguf.h"

/* bool: rows of B for q and k are in halves of heads, as in Hugging Face's checkpoints, where GGUF files of the architecture have
 * them in pairs. */
#define PEFT_HALF_SPLIT "hearth.adapter.half_split"

/* Whether path is a folder with an adapter_config.json, or that file. */
bool peft_is(const char *path);
/* base: the model that it is for (its architecture and its number of experts count).  *out is the caller's (gguf_close). */
int  peft_open(struct gguf **out, const char *path, const struct gguf *base, struct err *err);
/* Whatever path is: such a folder, or a GGUF file. */
int  adapter_file_open(struct gguf **out, const char *path, const struct gguf *base, struct err *err);

#endif
