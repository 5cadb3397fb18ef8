// anthropic.mjs - Anthropic's own client.
import Anthropic from '@anthropic-ai/sdk';
import { assert, base, quiet, refused, run, test } from './check.mjs';

const client = new Anthropic({ baseURL: base, apiKey: 'none', maxRetries: 0 });
const model = 'spark';
const messages = [{ role: 'user', content: 'Hello!' }];
const weather = { name: 'weather', description: 'tells the weather', input_schema: { type: 'object', additionalProperties: false,
    properties: { city: { type: 'string', maxLength: 20 } }, required: ['city'] } };

test('messages', async () => {
    const m = await client.messages.create({ model, messages, max_tokens: 12, system: 'Be short.', temperature: 0 });
    assert.equal(m.content[0].type, 'text');
    assert.ok(m.content[0].text.length > 0 && m.usage.output_tokens > 0);
    assert.ok(['end_turn', 'max_tokens'].includes(m.stop_reason));
    const word = m.content[0].text.slice(1, 3);
    const cut = await client.messages.create({ model, messages, max_tokens: 12, system: 'Be short.', temperature: 0, stop_sequences: [word] });
    assert.equal(cut.stop_reason, 'stop_sequence');
    assert.equal(cut.stop_sequence, word);
});

test('a stream', async () => {
    const events = [];
    const stream = client.messages.stream({ model, messages, max_tokens: 12, temperature: 0 });
    stream.on('streamEvent', (e) => events.push(e.type));
    const final = await stream.finalMessage();
    assert.ok(final.content[0].text.length > 0);
    assert.equal(events[0], 'message_start');
    assert.equal(events.at(-1), 'message_stop');
    const whole = await client.messages.create({ model, messages, max_tokens: 12, temperature: 0 });
    assert.equal(final.content[0].text, whole.content[0].text);
});

test('a tool that must be called', async () => {
    const ask = { model, max_tokens: 400, tools: [weather], temperature: 0,
                  tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
                  messages: [{ role: 'user', content: 'What is the weather in Paris?' }] };
    const m = await client.messages.create(ask);
    assert.equal(m.stop_reason, 'tool_use');
    const call = m.content.find((block) => block.type === 'tool_use');
    assert.equal(typeof call.input.city, 'string');
    const streamed = await client.messages.stream(ask).finalMessage();
    assert.deepEqual(streamed.content.find((block) => block.type === 'tool_use').input, call.input);
    const next = await client.messages.create({ model, max_tokens: 8, tools: [weather], messages: [...ask.messages,
        { role: 'assistant', content: m.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'sunny' }] }] });
    assert.equal(next.role, 'assistant');
});

test('a tool and thinking, by a stream', async () => {
    const blocks = [], events = [];
    const stream = client.messages.stream({ model, max_tokens: 400, temperature: 0, tools: [weather], tool_choice: { type: 'any', disable_parallel_tool_use: true },
        thinking: { type: 'enabled', budget_tokens: 64 }, messages: [{ role: 'user', content: 'What is the weather in Paris?' }] });
    stream.on('contentBlock', (block) => blocks.push(block));
    stream.on('streamEvent', (e) => events.push(e));
    const final = await stream.finalMessage();
    assert.equal(final.stop_reason, 'tool_use');
    assert.deepEqual(blocks.map((b) => b.type), final.content.map((b) => b.type));
    const open = events.filter((e) => e.type === 'content_block_start').map((e) => e.index);
    assert.deepEqual(open, open.map((_, i) => i));
    assert.deepEqual(events.filter((e) => e.type === 'content_block_stop').map((e) => e.index), open);
    assert.ok(events.some((e) => e.type === 'content_block_delta' && e.delta.type === 'input_json_delta'));
    assert.equal(events.find((e) => e.type === 'message_delta').usage.output_tokens, final.usage.output_tokens);
});

test('tokens and models', async () => {
    const few = await client.messages.countTokens({ model, messages });
    const more = await client.messages.countTokens({ model, messages, system: 'Be short.' });
    assert.ok(few.input_tokens > 0 && more.input_tokens > few.input_tokens);
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(model));
    const one = await client.models.retrieve(model);
    assert.equal(one.type, 'model');
    assert.match((await client.messages.create({ model, messages, max_tokens: 1 }))._request_id, /^req_/);
});

test('what is refused', async () => {
    assert.ok(await refused(client.messages.create({ model: 'none', messages, max_tokens: 5 })) instanceof Anthropic.NotFoundError);
    const bad = await refused(client.messages.create({ model, max_tokens: 5 }));
    assert.ok(bad instanceof Anthropic.BadRequestError);
    assert.equal(bad.error.error.type, 'invalid_request_error');
    const seen = await refused(client.messages.create({ model, max_tokens: 5, messages: [{ role: 'user', content: [{ type: 'image',
        source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } }] }] }));
    assert.match(seen.message, /text only/);
});

test('cancelling', async () => {
    const stream = await client.messages.create({ model, messages, max_tokens: 100000, stream: true, ignore_eos: true });
    for await (const _ of stream) break;
    await quiet();
});

await run();
