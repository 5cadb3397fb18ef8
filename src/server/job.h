/* job.h - what the HTTP front asks of the engine process, and what comes back: JSON documents, the same for every dialect.
 *
 * A job is an object with "op".  Everything else is optional unless it says otherwise; an unknown key is an error, and null
 * counts as absent.
 *   "model"        required except by status and stop_thinking: a path, or "embedded"; the front makes it from a name
 *   "keep_alive"   seconds that the model stays loaded afterwards; -1: for ever, 0: unload; absent: the server's default
 *   "load"         {"num_ctx", "num_batch", "num_thread", "speculate", "kv_type", "kv_type_v", "adapters": [{"path", "scale"}],
 *                  rope options, "chat_template", "spare_template": as hearth_model_options; the front knows what came with a
 *                  model (brings.h)}
 *   "salt"         string: past texts are shared only among those with the same; "user": string, for fairness; "priority": int
 *   "deadline_ms"  from when the job arrives; "only_loaded": bool, an error where the model would have to be loaded first
 *
 * op "generate": one of "messages", "prompt", "infill" is required.
 *   "messages"     as hearth_chat_request.messages_json; with "tools", "documents", "variables" (object), "continue" (bool)
 *   "prompt"       string (control tokens as text count), array of token ids, or an array of both; "add_bos": bool (true)
 *   "infill"       {"prefix", "suffix", "name", "repo", "files": [{"name", "text"}]}
 *   "tool_choice"  "none", "auto", "required" or {"name": ...}; "parallel_calls": bool (true)
 *   "format"       {"type": "json" | "schema" | "grammar" | "regex" | "choices", "schema": ..., "text": ..., "choices": [...]}
 *   "think"        "off", "on", "low", "medium", "high"; "think_budget": tokens; "must_think": bool, an error where it cannot
 *   "options"      the settings of src/base/settings.def under their names and second names, with '_' or '-' between words
 *                  ("seed" absent: the front draws one), and
 *                  "stop": [strings], "ban": [phrases], "logit_bias": [[id or text, bias or null for never]],
 *                  "context_policy": "stop" (absent), "drop" (with messages only), "middle", "shift", "n_keep": tokens
 *                  (-1: all): as HEARTH_CONTEXT_* and n_keep of hearth.h; what is left out is told by a warning
 *   "n"            completions (1)
 *   "logprobs"     how many of the likeliest beside each token (absent: none); "logprobs_after": bool, after the samplers
 *   "no_cache"     bool; "want_ids": bool: text events have the tokens
 *   "progress"     bool: prefill events are wanted
 *   "lora"         [{"id", "scale"}]: scales of the load's adapters for this job, by their place; 0 where it says none; of embed
 *                  and rerank, too
 *   "whole_prompt" bool: a prompt that does not fit is an error, also where context_policy cuts it
 *   "completes"    bool: the last message is a text to go on with, for a model that has no template
 *   "n_indent"     the text ends before a line that begins with fewer blanks, but for its first; "line_ms": with the first line
 *                  that ends so long after the first token; the reason is "length"
 *   "slot"         0..63 (0): the number by which the op slot knows the text of this answer afterwards
 * Events: {"event":"loading","done","total"}  {"event":"queued","ahead"}  {"event":"prefill","done","cached","total"}
 *   {"event":"start","prompt_tokens","cached_tokens","seed","prompt_ns","model":{...as info...}}   when the first token comes
 *   {"event":"text" | "reasoning","i","text","ids":[...],"logprobs":[{"id","text","bytes":[...],"logprob","top":[{same}]}]}
 *   {"event":"call","i","call","id","name"} {"event":"arguments","i","call","text"} {"event":"call_end","i","call"}
 *   {"event":"call_broken","i","call"} {"event":"warning","i","text"}
 *   {"event":"end","i","reason":"stop" | "length" | "context" | "tool_calls" | "cancelled" | "deadline","stop":string,"tokens",
 *    "reasoning_tokens"}
 * ids and logprobs are of the tokens since the last event of this completion that had some; those of call and arguments, and of
 * end when a text was held back, have them too.  A call of which call_broken comes was none: its text follows as text events.
 * The last event of every job: {"event":"done", ...what the op answers,
 * "timings":{"load_ns","queue_ns","prompt_ns","answer_ns"}}, or {"event":"error","code":HEARTH_E*,"kind":"invalid" |
 * "not_found" | "context" | "busy" | "unsupported" | "memory" | "engine" | "deadline" | "cancelled","message"}; of kind "context"
 * also "n_prompt_tokens" and "n_ctx", where both are known.
 * generate's done: {"prompt_tokens","cached_tokens","answer_tokens","reasoning_tokens"}, and where tokens were guessed "drafts"
 * (how often some were checked), "draft_tokens", "draft_right", "draft_right_at": [by their place in a draft].
 *
 * op "embed": "input": [strings or ids], "pooling", "normalise", "truncate", "dims" -> "vectors", "tokens": [...]
 * op "rerank": "query", "documents": [strings], "instruction", "logits" -> "scores": [...], "tokens"
 * op "tokenize": "text", "special", "parse" -> "ids", "pieces" (texts, or bytes)   op "detokenize": "ids", "special" -> "text"
 * op "template": as generate with messages -> "prompt": string, "ids"
 * op "info": -> what hearth_model_info says and the template's abilities (tools, reasoning), "bos" and "eos" as texts, and
 * "defaults" of the options, without loading weights for long; with "file": true what its file says: "keys" (arrays are null
 * unless "arrays" is true) and "tensors": [{"name","type","shape"}]
 * op "load": (with "pin") -> "n_ctx", "encoder"   op "unload" -> {}
 * op "slot": "slot", "action": "save" | "restore" | "erase", "file": a name without a folder -> "n": tokens, "bytes"
 * op "stop_thinking": "job": number of the job    op "adapters": "use": [{"path","scale"}] -> {}
 * op "status": -> "models": [{"model","state","bytes","kv_bytes","expires_s","running","steps","step_texts","stats":{...},
 * "answers":[{"job","user","tokens","max_tokens","new_line","speculative","options":{...}}]}], "memory": {...} */
#ifndef HEARTH_SERVER_JOB_H
#define HEARTH_SERVER_JOB_H

enum { JOB_MAX_BYTES = 64 << 20 };     /* of one document, either way */
enum { JOB_MAX_ADAPTERS = 64 };        /* of a model, whose scales "lora" can set */

/* Beside jobs, under the number 0: the settings come first (worker.c), {"event":"hello","version","sandbox"} answers them, and
 * {"event":"alive"} follows about six times within the silence that is taken for death, unless something hangs.
 * {"event":"model","model","state":"waiting" | "loading" | "ready" | "failed" | "gone","done","total"}: a model came to another
 * state, or more bytes of it were read. */
#define JOB_TICK_MS(silence_ms) ((silence_ms) ? (int)((silence_ms) / 6 + 1) : -1)

#endif
