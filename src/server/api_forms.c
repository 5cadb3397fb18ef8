#include "server/api_forms.h"

const struct api_form *const api_forms[] = {
    &api_openai_chat, &api_openai_completion, &api_openai_embedding, &api_openai_count, &api_openai_response,
    &api_openai_response_count, &api_ollama_chat, &api_ollama_generate, &api_ollama_embed, &api_ollama_embeddings,
    &api_ollama_render, &api_anthropic_messages, &api_anthropic_count,
    &api_llama_completion, &api_llama_infill, &api_llama_tokenize, &api_llama_detokenize, &api_llama_template,
    &api_llama_embedding, &api_llama_rerank, &api_lmstudio_chat, &api_lmstudio_v0_chat, &api_lmstudio_v0_completion, NULL,
};
