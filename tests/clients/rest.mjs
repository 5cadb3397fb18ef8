// rest.mjs - LM Studio's and llama-server's endpoints by plain fetch.
import { assert, base, json, run, test } from './check.mjs';

const model = 'spark';

async function events(path, body)
{
    const answer = await fetch(base + path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    assert.equal(answer.headers.get('content-type'), 'text/event-stream');
    const blocks = (await answer.text()).split('\n\n').filter((block) => block.includes('data: '));
    return blocks.map((block) => JSON.parse(block.slice(block.indexOf('data: ') + 6)));
}

test('LM Studio: chat, and going on from it', async () => {
    const { status, body } = await json('POST', '/api/v1/chat', { model, input: 'Hello!', system_prompt: 'Be short.', max_output_tokens: 8 });
    assert.equal(status, 200);
    assert.equal(body.output.at(-1).type, 'message');
    assert.ok(body.stats.total_output_tokens > 0);
    const all = await events('/api/v1/chat', { model, input: 'And?', previous_response_id: body.response_id, max_output_tokens: 8, stream: true });
    assert.equal(all[0].type, 'chat.start');
    assert.equal(all.at(-1).type, 'chat.end');
    const text = all.filter((e) => e.type === 'message.delta').map((e) => e.content).join('');
    assert.equal(text, all.at(-1).result.output.at(-1).content);
    assert.ok(all.at(-1).result.stats.input_tokens > body.stats.input_tokens);
});

test('LM Studio: models, load, unload', async () => {
    const about = (await json('GET', '/api/v1/models')).body.models.find((m) => m.key === model);
    assert.ok(about.architecture && about.size_bytes > 1e6 && about.max_context_length >= 512 && about.quantization.bits_per_weight > 1);
    assert.equal((await json('GET', `/api/v0/models/${model}`)).body.id, model);
    const loaded = await json('POST', '/api/v1/models/load', { model, context_length: 512, echo_load_config: true });
    assert.equal(loaded.body.status, 'loaded');
    assert.equal(loaded.body.type, 'llm');
    assert.equal(loaded.body.load_config.context_length, 512);
    const unloaded = await json('POST', '/api/v1/models/unload', { instance_id: model });
    assert.equal(unloaded.body.instance_id, model);
    let left;                                                  // one of the chat before may still have been in use
    for (let i = 0; i < 50 && left?.length !== 0; i++) {
        left = (await json('GET', '/api/v1/models')).body.models.find((m) => m.key === model).loaded_instances;
        if (left.length) await json('POST', '/api/v1/models/unload', { instance_id: model });
        if (left.length) await new Promise((done) => setTimeout(done, 50));
    }
    assert.deepEqual(left, []);
    assert.equal((await json('POST', '/api/v1/models/load', { model: 'none' })).body.error.type, 'model_not_found');
});

test('LM Studio: download', async () => {
    const begun = await json('POST', '/api/v1/models/download', { model: 'tiny' });
    assert.equal(begun.body.status, 'downloading');
    let now;
    for (let i = 0; i < 100 && now?.status !== 'completed'; i++) {
        now = (await json('GET', `/api/v1/models/download/status/${begun.body.job_id}`)).body;
        assert.notEqual(now.status, 'failed', now.error);
        await new Promise((done) => setTimeout(done, 30));
    }
    assert.equal(now.status, 'completed');
    assert.equal((await json('POST', '/api/v1/models/download', { model: 'tiny' })).body.status, 'already_downloaded');
    assert.equal((await json('DELETE', '/api/delete', { model: 'tiny' })).status, 200);
});

test('LM Studio: v0', async () => {
    const { body } = await json('POST', '/api/v0/chat/completions', { model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 });
    assert.ok(body.stats.tokens_per_second > 0);
    assert.equal(body.runtime.name, 'hearth');
});

test('llama-server: completion', async () => {
    const ask = { prompt: 'Once upon a', n_predict: 5, seed: 3, n_probs: 2, return_tokens: true };
    const { body } = await json('POST', '/completion', ask);
    assert.equal(body.tokens.length, body.completion_probabilities.length);
    const all = await events('/completion', { ...ask, stream: true });
    assert.equal(all.map((e) => e.content).join(''), body.content);
    assert.equal(all.at(-1).stop, true);
    const three = await json('POST', '/completion', { prompt: ['a', 'b', [1, 2]], n_predict: 1 });
    assert.equal(three.body.length, 3);
});

test('llama-server: tokens and templates', async () => {
    const content = 'Once upon a time';
    const { tokens } = (await json('POST', '/tokenize', { content })).body;
    assert.equal((await json('POST', '/detokenize', { tokens })).body.content, content);
    const pieces = (await json('POST', '/tokenize', { content, with_pieces: true })).body.tokens;
    assert.deepEqual((await json('POST', '/tokenize', { content: '\u{1f600}', with_pieces: true })).body.tokens.flatMap((t) => t.piece),
                     [0xf0, 0x9f, 0x98, 0x80]);
    assert.equal(pieces.map((t) => t.piece).join(''), content);
    const { prompt } = (await json('POST', '/apply-template', { messages: [{ role: 'user', content: 'needle' }] })).body;
    assert.match(prompt, /needle/);
});

test('llama-server: about itself', async () => {
    const props = (await json('GET', '/props')).body;
    assert.ok(props.default_generation_settings.n_ctx > 0);
    assert.match(props.chat_template, /messages/);
    for (const [field, value] of Object.entries({ n_indent: -2, grammar_lazy: true, echo: true }))
        assert.match((await json('POST', '/completion', { prompt: 'a', n_predict: 1, [field]: value })).body.error.message, new RegExp(field));
    assert.equal((await json('POST', '/slots/0?action=save', { filename: 'a' })).status, 501);
    assert.ok((await json('GET', '/models')).body.data.some((m) => m.id === model));
    assert.equal((await json('GET', '/health')).body.status, 'ok');
    const vectors = (await json('POST', '/embedding', { content: ['a', 'b'] })).body;
    assert.equal(vectors.length, 2);
    const ranked = await json('POST', '/rerank', { model, query: 'fire', documents: ['a fish', 'a hearth'], top_n: 1 });
    assert.equal(ranked.status, 501);                          // this model is none that can
    assert.equal(ranked.body.error.type, 'not_supported_error');
    assert.match(ranked.body.error.message, /cannot rank/);
});

test('llama-server: what editors ask for', async () => {
    const ask = { prompt: 'Once upon a time', n_predict: 200, temperature: 0 };
    const all = (await json('POST', '/completion', ask)).body;
    assert.match(all.content, /\n/);
    const more = { ...ask, n_indent: 4, t_max_prompt_ms: 500, t_max_predict_ms: 100000, response_fields: ['content', 'stop_type', 'timings/predicted_n'] };
    const { body } = await json('POST', '/completion', more);
    assert.deepEqual(Object.keys(body), more.response_fields);
    assert.ok(all.content.startsWith(body.content) && body.content.length < all.content.length);
    assert.equal(body.stop_type, 'limit');
    const filled = await json('POST', '/infill', { ...more, input_prefix: 'a', input_suffix: 'b', input_extra: [] });
    assert.equal(filled.status, 501);                          // this model cannot
    assert.equal(filled.body.error.type, 'not_supported_error');
});

await run();
