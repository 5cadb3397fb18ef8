/* Fuzz target: tekken.json of a folder from the Hugging Face Hub. */
#include "tests/fuzz/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) { return fuzz_folder("tekken.json", data, n); }
