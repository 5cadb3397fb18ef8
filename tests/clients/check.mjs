// check.mjs - a few tests in a row: "ok NAME" or "not ok NAME: why" for each, and an exit code.
import assert from 'node:assert/strict';

export { assert };
export const base = process.argv[2];
const tests = [];

export function test(name, fn) { tests.push([name, fn]); }

// The error that a promise ends with.
export async function refused(promise)
{
    try { await promise; } catch (e) { return e; }
    assert.fail('it was not refused');
}

export async function json(method, path, body)
{
    const answer = await fetch(base + path, { method, headers: { 'Content-Type': 'application/json' },
                                              body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : null };
}

// Nothing is being written any more, within a second.
export async function quiet()
{
    for (let i = 0; i < 50; i++) {
        const { body } = await json('GET', '/slots');
        if (!body.some((slot) => slot.is_processing)) return;
        await new Promise((done) => setTimeout(done, 20));
    }
    assert.fail('the answer is still being written');
}

export async function run()
{
    let bad = 0;
    for (const [name, fn] of tests) {
        try {
            await fn();
            console.log(`ok ${name}`);
        } catch (e) {
            bad++;
            console.log(`not ok ${name}: ${e.stack}`);
        }
    }
    process.exit(bad ? 1 : 0);
}
