#include "server/api_forms.h"

const struct api_form *const api_forms[] = {
    &api_openai_chat, &api_openai_completion, &api_openai_embedding, &api_openai_count, &api_openai_response,
    &api_openai_response_count, &api_ollama_chat, &api_ollama_generate, &api_ollama_embed, &api_ollama_embeddings,
    &api_ollama_render, &api_anthropic_messages, &api_anthropic_count, NULL,
};
