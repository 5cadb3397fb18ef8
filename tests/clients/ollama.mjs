// ollama.mjs - Ollama's own client.
import { Ollama } from 'ollama';
import { assert, base, json, quiet, refused, run, test } from './check.mjs';

const client = new Ollama({ host: base });
const model = 'spark';
const messages = [{ role: 'user', content: 'Hello!' }];
const options = { seed: 7, num_predict: 12 };
const weather = { type: 'function', function: { name: 'weather', description: 'tells the weather',
    parameters: { type: 'object', properties: { city: { type: 'string', description: 'where' } }, required: ['city'] } } };
const shape = { type: 'object', properties: { age: { type: 'integer', minimum: 0, maximum: 99 } }, required: ['age'] };

test('what is there', async () => {
    const { models } = await client.list();
    assert.ok(models.some((m) => m.name === 'spark:latest' && m.details.format === 'gguf'));
    const shown = await client.show({ model });
    assert.match(shown.template, /messages/);
    assert.equal(shown.model_info['tokenizer.ggml.tokens'], null);
    assert.equal(shown.model_info['tokenizer.chat_template'], undefined);
    assert.ok(shown.model_info['general.parameter_count'] > 1e6);
    assert.ok(shown.tensors.some((t) => t.name === 'token_embd.weight' && t.type && t.shape.length === 2));
    const all = (await client.show({ model, verbose: true })).model_info;
    assert.equal(all['tokenizer.ggml.tokens'].length, shown.tensors.find((t) => t.name === 'token_embd.weight').shape[1]);
    assert.equal(typeof all['tokenizer.ggml.tokens'][0], 'string');
    assert.deepEqual(shown.capabilities.includes('completion'), true);
    assert.ok(shown.model_info['general.architecture']);
    assert.match((await json('GET', '/api/version')).body.version, /^\d+\.\d+\.\d+/);
});

test('chat, whole and as a stream', async () => {
    const whole = await client.chat({ model, messages, options });
    assert.ok(whole.done && whole.message.content.length > 0 && whole.eval_count > 0 && whole.total_duration > 0);
    let text = '', last;
    for await (const part of await client.chat({ model, messages, options, stream: true })) {
        text += part.message.content;
        last = part;
    }
    assert.equal(text, whole.message.content);
    assert.equal(last.done_reason, whole.done_reason);
});

test('generate', async () => {
    const whole = await client.generate({ model, prompt: 'Hello!', system: 'Be short.', options });
    assert.ok(whole.response.length > 0);
    const raw = await client.generate({ model, prompt: 'Once upon a', raw: true, options });
    assert.ok(raw.response.length > 0);
    assert.equal((await client.generate({ model, prompt: '' })).done_reason, 'load');
    assert.ok((await client.ps()).models.some((m) => m.name === 'spark:latest'));
});

test('a form', async () => {
    const answer = await client.chat({ model, messages, format: shape, options: { seed: 1, num_predict: 200 } });
    assert.ok(Number.isInteger(JSON.parse(answer.message.content).age));
});

test('tools in the request', async () => {
    const answer = await client.chat({ model, messages: [{ role: 'user', content: 'What is the weather in Paris?' }, { role: 'assistant',
        content: '', tool_calls: [{ function: { name: 'weather', arguments: { city: 'Paris' } } }] },
        { role: 'tool', tool_name: 'weather', content: 'sunny' }], tools: [weather], options });
    assert.ok(answer.done);
});

test('thinking, log-probabilities, a stream in a form', async () => {
    assert.match((await refused(client.chat({ model, messages, think: true }))).message, /does not support thinking/);
    assert.ok((await client.chat({ model, messages, think: false, options })).message.content.length > 0);
    let text = '';
    for await (const part of await client.chat({ model, messages, format: shape, stream: true, options: { seed: 1, num_predict: 200 } }))
        text += part.message.content;
    assert.ok(Number.isInteger(JSON.parse(text).age));
    const one = await client.generate({ model, prompt: 'Hello!', logprobs: true, top_logprobs: 2, options });
    assert.ok(one.logprobs.length > 0 && one.logprobs[0].top_logprobs.length === 2);
    assert.ok((await client.show({ model })).capabilities.every((c) => ['completion', 'tools', 'insert'].includes(c)));
});

test('embeddings', async () => {
    const many = await client.embed({ model, input: ['a fire', 'the hearth'] });
    assert.equal(many.embeddings.length, 2);
    assert.ok(Math.abs(many.embeddings[0].reduce((sum, v) => sum + v * v, 0) - 1) < 1e-4);
    assert.ok((await client.embeddings({ model, prompt: 'a fire' })).embedding.length === many.embeddings[0].length);
});

test('pull, copy, create, delete', async () => {
    const lines = [];
    for await (const line of await client.pull({ model: 'tiny', stream: true })) lines.push(line);
    assert.equal(lines[0].status, 'pulling manifest');
    assert.equal(lines.at(-1).status, 'success');
    assert.ok(lines.some((l) => l.total > 0 && l.completed === l.total));
    await client.copy({ source: 'tiny', destination: 'mine/other:v1' });
    const made = await client.create({ model: 'mine/made', from: 'tiny', system: 'Be short.', parameters: { temperature: 0.5, stop: ['x'] } });
    assert.equal(made.status, 'success');
    const names = (await client.list()).models.map((m) => m.name);
    for (const name of ['tiny:latest', 'mine/other:v1', 'mine/made:latest']) assert.ok(names.includes(name), name);
    const shown = await client.show({ model: 'mine/made' });
    assert.equal(shown.system, 'Be short.');
    assert.match(shown.parameters, /temperature +0\.5/);
    assert.match(shown.modelfile, /\nPARAMETER temperature 0\.5\nPARAMETER stop "x"\n/);
    await client.generate({ model: 'mine/made', prompt: 'ab', raw: true, options: { num_predict: 2 } });
    for (const name of ['mine/other:v1', 'mine/made', 'tiny']) await client.delete({ model: name });
    assert.ok(!(await client.list()).models.some((m) => m.name.startsWith('mine/') || m.name.startsWith('tiny')));
});

test('what is refused', async () => {
    assert.match((await refused(client.chat({ model: 'none', messages }))).message, /model 'none' not found/);
    assert.match((await refused(client.pull({ model: 'absent' }))).message, /absent/);
    assert.match((await refused(client.push({ model }))).message, /only fetches/);
    assert.match((await refused(client.chat({ model, messages: [{ role: 'user', content: 'What?', images: ['AAAA'] }] }))).message, /text only/);
    const path = await json('POST', '/api/create', { model: 'x', from: '/etc/passwd', stream: false });
    assert.match(path.body.error, /no name of a model/);
    assert.match((await refused(client.delete({ model: 'none' }))).message, /not found/);
});

test('cancelling', async () => {
    const stream = await client.generate({ model, prompt: 'Hello!', stream: true, options: { num_predict: 100000, ignore_eos: true } });
    for await (const _ of stream) break;
    client.abort();
    await quiet();
});

await run();
