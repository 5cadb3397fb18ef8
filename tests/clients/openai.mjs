// openai.mjs - OpenAI's own client.
import OpenAI from 'openai';
import { assert, base, json, quiet, refused, run, test } from './check.mjs';

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'none', maxRetries: 0 });
const model = 'spark';
const messages = [{ role: 'system', content: 'Be short.' }, { role: 'user', content: 'Hello!' }];
const weather = { type: 'function', function: { name: 'weather', description: 'tells the weather', strict: true,
    parameters: { type: 'object', properties: { city: { type: 'string', maxLength: 20 } }, required: ['city'],
                  additionalProperties: false } } };
const shape = { type: 'object', properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 99 } },
                required: ['name', 'age'], additionalProperties: false };
const image = [{ role: 'user', content: [{ type: 'text', text: 'What is this?' },
                                         { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] }];

test('models', async () => {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).object, 'model');
    assert.equal((await refused(client.models.retrieve('none'))).status, 404);
});

test('chat, the same for the same seed', async () => {
    const ask = { model, messages, seed: 7, temperature: 0.9, max_tokens: 12 };
    const a = await client.chat.completions.create(ask), b = await client.chat.completions.create(ask);
    assert.ok(a.choices[0].message.content.length > 0);
    assert.equal(a.choices[0].message.content, b.choices[0].message.content);
    assert.equal(a.usage.total_tokens, a.usage.prompt_tokens + a.usage.completion_tokens);
    assert.ok(['stop', 'length'].includes(a.choices[0].finish_reason));
});

test('a stream says what the whole says', async () => {
    const ask = { model, messages, seed: 7, temperature: 0.9, max_tokens: 12 };
    const whole = await client.chat.completions.create(ask);
    let text = '', last, usage, times;
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
        if (chunk.choices.length) text += chunk.choices[0].delta.content ?? '';
        if (chunk.choices.length && chunk.choices[0].finish_reason) last = chunk.choices[0].finish_reason;
        if (chunk.usage) usage = chunk.usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(last, whole.choices[0].finish_reason);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) times = chunk.timings ?? times;
    assert.equal(times.predicted_n, whole.usage.completion_tokens);
});

test('the stream helper', async () => {
    const stream = client.chat.completions.stream({ model, messages, seed: 3, max_tokens: 8 });
    const final = await stream.finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
});

test('several answers, stop and log-probabilities', async () => {
    const many = await client.chat.completions.create({ model, messages, n: 3, seed: 1, max_tokens: 4 });
    assert.deepEqual(many.choices.map((c) => c.index), [0, 1, 2]);
    const one = await client.chat.completions.create({ model, messages, max_tokens: 4, temperature: 0, logprobs: true, top_logprobs: 2 });
    const list = one.choices[0].logprobs.content;
    assert.ok(list.length >= 1 && list.length <= 4);
    assert.equal(list[0].top_logprobs.length, 2);
    assert.equal(list[0].token, list[0].top_logprobs[0].token);
    assert.ok(list[0].logprob <= 0);
    const word = one.choices[0].message.content.slice(1, 3);
    const cut = await client.chat.completions.create({ model, messages, max_tokens: 4, temperature: 0, stop: [word] });
    assert.ok(!cut.choices[0].message.content.includes(word));
    assert.equal(cut.choices[0].finish_reason, 'stop');
});

test('streams of several answers with log-probabilities and usage', async () => {
    const ask = { model, messages, n: 2, seed: 5, max_completion_tokens: 5, temperature: 0.8, logprobs: true, top_logprobs: 3 };
    const whole = await client.chat.completions.create(ask);
    const text = ['', ''], tokens = [[], []];
    let usage, before = 0;
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
        if (chunk.usage) usage = chunk.usage;
        else before++;
        for (const c of chunk.choices) {
            text[c.index] += c.delta.content ?? '';
            for (const t of c.logprobs?.content ?? []) tokens[c.index].push(t);
        }
    }
    assert.ok(usage && before > 2);
    whole.choices.forEach((c, i) => {
        assert.equal(text[i], c.message.content);
        assert.deepEqual(tokens[i], c.logprobs.content);
        assert.ok(tokens[i].every((t) => t.top_logprobs.length === 3 && Array.isArray(t.bytes)));
    });
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('a bias, and what ends an answer', async () => {
    const ask = { model, messages, temperature: 0, max_completion_tokens: 3, logprobs: true };
    const plain = await client.chat.completions.create(ask);
    const { tokens: [first] } = (await json('POST', '/tokenize', { content: plain.choices[0].logprobs.content[0].token })).body;
    const other = await client.chat.completions.create({ ...ask, logit_bias: { [first]: -100 } });
    assert.notEqual(other.choices[0].logprobs.content[0].token, plain.choices[0].logprobs.content[0].token);
    assert.equal((await client.chat.completions.create({ ...ask, ignore_eos: true })).choices[0].finish_reason, 'length');
    assert.equal((await refused(client.chat.completions.create({ ...ask, logit_bias: { '-1': 3, '99999999': 1 } }))).status, 400);
    assert.equal((await refused(client.chat.completions.create({ ...ask, logprobs: false, top_logprobs: 2 }))).status, 400);
    assert.equal((await refused(client.chat.completions.create({ ...ask, modalities: ['audio'], audio: { voice: 'a', format: 'mp3' } }))).status, 400);
});

test('a tool that must be called', async () => {
    const ask = { model, messages: [{ role: 'user', content: 'What is the weather in Paris?' }], tools: [weather],
                  tool_choice: { type: 'function', function: { name: 'weather' } }, parallel_tool_calls: false, max_tokens: 400,
                  temperature: 0 };
    const { choices: [choice] } = await client.chat.completions.create(ask);
    assert.equal(choice.finish_reason, 'tool_calls');
    const [call] = choice.message.tool_calls;
    assert.equal(call.function.name, 'weather');
    assert.equal(typeof JSON.parse(call.function.arguments).city, 'string');
    let id, name, text = '';
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
        for (const piece of chunk.choices[0]?.delta.tool_calls ?? []) {
            id ??= piece.id;
            name ??= piece.function.name;
            text += piece.function.arguments ?? '';
        }
    }
    assert.equal(name, 'weather');
    assert.ok(id);
    assert.equal(text, call.function.arguments);
    const next = await client.chat.completions.create({ model, tools: [weather], max_tokens: 8, messages: [...ask.messages, choice.message,
        { role: 'tool', tool_call_id: call.id, content: 'sunny' }] });
    assert.ok(next.choices[0].message);
});

test('a schema', async () => {
    const answer = await client.chat.completions.create({ model, messages, seed: 2, max_tokens: 200,
        response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema: shape } } });
    const person = JSON.parse(answer.choices[0].message.content);
    assert.equal(typeof person.name, 'string');
    assert.ok(Number.isInteger(person.age));
    const any = await client.chat.completions.create({ model, messages, seed: 2, max_tokens: 300, temperature: 0,
                                                       response_format: { type: 'json_object' } });
    if (any.choices[0].finish_reason === 'stop') assert.equal(typeof JSON.parse(any.choices[0].message.content), 'object');
});

test('completions', async () => {
    const one = await client.completions.create({ model, prompt: 'Once upon a', max_tokens: 4, echo: true, seed: 1 });
    assert.ok(one.choices[0].text.startsWith('Once upon a'));
    const two = await client.completions.create({ model, prompt: ['Once', 'There'], max_tokens: 3, seed: 1 });
    assert.deepEqual(two.choices.map((c) => c.index), [0, 1]);
    let text = '';
    for await (const chunk of await client.completions.create({ model, prompt: 'Once', max_tokens: 3, seed: 1, stream: true }))
        text += chunk.choices[0]?.text ?? '';
    assert.equal(text, two.choices[0].text);
});

test('embeddings', async () => {
    const packed = await client.embeddings.create({ model, input: ['a fire', 'the hearth'] });
    const plain = await client.embeddings.create({ model, input: 'a fire', encoding_format: 'float' });
    assert.equal(packed.data.length, 2);
    assert.match((await refused(client.embeddings.create({ model, input: 'a', dimensions: 99999 }))).message, /dimensions is 99999/);
    assert.equal(packed.data[0].embedding.length, plain.data[0].embedding.length);
    plain.data[0].embedding.forEach((v, i) => assert.ok(Math.abs(v - packed.data[0].embedding[i]) < 1e-6));
    assert.ok(Math.abs(plain.data[0].embedding.reduce((sum, v) => sum + v * v, 0) - 1) < 1e-4);
    assert.ok(packed.usage.prompt_tokens > 0);
});

test('responses, and going on from one', async () => {
    const first = await client.responses.create({ model, input: 'Hello!', max_output_tokens: 8 });
    assert.ok(first.output_text.length > 0);
    const events = [];
    const stream = await client.responses.create({ model, input: 'And now?', previous_response_id: first.id, max_output_tokens: 8, stream: true });
    for await (const event of stream) events.push(event);
    assert.equal(events[0].type, 'response.created');
    assert.ok(['response.completed', 'response.incomplete'].includes(events.at(-1).type));
    assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
    const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
    assert.equal(text, events.at(-1).response.output.find((item) => item.type === 'message').content[0].text);
    assert.ok(events.at(-1).response.usage.input_tokens > first.usage.input_tokens);
    assert.equal((await client.responses.retrieve(first.id)).id, first.id);
    await client.responses.delete(first.id);
    assert.equal((await refused(client.responses.retrieve(first.id))).status, 404);
});

test('a tool by responses', async () => {
    const { name, description, parameters } = weather.function;
    const answer = await client.responses.create({ model, input: 'What is the weather in Paris?', tool_choice: 'required',
        tools: [{ type: 'function', name, description, parameters, strict: true }], max_output_tokens: 400, temperature: 0, parallel_tool_calls: false });
    const call = answer.output.find((item) => item.type === 'function_call');
    assert.equal(call.name, 'weather');
    assert.equal(typeof JSON.parse(call.arguments).city, 'string');
});

test('a conversation with a tool, by streams of responses', async () => {
    const { name, description, parameters } = weather.function;
    const tools = [{ type: 'function', name, description, parameters, strict: true }];
    const ask = { model, tools, temperature: 0, max_output_tokens: 400, parallel_tool_calls: false };
    const begun = client.responses.stream({ ...ask, input: 'What is the weather in Paris?', tool_choice: { type: 'function', name } });
    const types = [];
    begun.on('event', (e) => types.push(e.type));
    const first = await begun.finalResponse();
    const call = first.output.find((item) => item.type === 'function_call');
    assert.equal(typeof JSON.parse(call.arguments).city, 'string');
    for (const type of ['response.output_item.added', 'response.function_call_arguments.delta', 'response.function_call_arguments.done',
                        'response.output_item.done']) assert.ok(types.includes(type), type);
    const second = await client.responses.stream({ ...ask, previous_response_id: first.id, tool_choice: 'none', max_output_tokens: 8,
        input: [{ type: 'function_call_output', call_id: call.call_id, output: 'sunny' }] }).finalResponse();
    assert.ok(second.usage.input_tokens > first.usage.input_tokens);
    const said = second.output.find((item) => item.type === 'message');
    const third = await client.responses.create({ ...ask, tools: [], max_output_tokens: 4, truncation: 'auto',
        include: ['message.output_text.logprobs'], top_logprobs: 2,
        input: [{ role: 'user', content: 'Before:' }, { type: 'item_reference', id: said.id }, { role: 'user', content: 'And?' }] });
    assert.ok(third.output.at(-1).content[0].logprobs.length > 0);
    const shaped = await client.responses.create({ model, input: 'Who?', max_output_tokens: 200, temperature: 0,
        text: { format: { type: 'json_schema', name: 'person', strict: true, schema: shape } } });
    assert.ok(Number.isInteger(JSON.parse(shaped.output_text).age));
    assert.equal((await refused(client.responses.create({ model, input: 'a', tools: [{ type: 'web_search' }] }))).status, 400);
    assert.equal((await client.responses.inputItems.list(second.id)).data[0].type, 'function_call_output');
});

test('what is refused', async () => {
    const seen = await refused(client.chat.completions.create({ model, messages: image }));
    assert.ok(seen instanceof OpenAI.BadRequestError);
    assert.match(seen.message, /text only/);
    assert.ok(await refused(client.chat.completions.create({ model: 'none', messages })) instanceof OpenAI.NotFoundError);
    assert.ok(await refused(client.chat.completions.create({ model })) instanceof OpenAI.BadRequestError);
    assert.match((await refused(client.chat.completions.create({ model, messages, top_p: 7 }))).message, /top_p/);
    assert.equal((await refused(client.responses.create({ model, input: 'a', background: true }))).status, 400);
    const long = await refused(client.chat.completions.create({ model, messages: [{ role: 'user', content: 'word '.repeat(200000) }] }));
    assert.equal(long.code, 'context_length_exceeded');
    assert.equal((await json('POST', '/v1/nothing', {})).status, 404);
});

test('cancelling', async () => {
    const stream = await client.chat.completions.create({ model, messages, stream: true, max_tokens: 100000, ignore_eos: true,
                                                          context_policy: undefined });
    for await (const _ of stream) break;
    await quiet();
});

await run();
