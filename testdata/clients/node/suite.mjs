// What every SDK has to do with a cluster; each suite brings an adapter for its own:
//   connect({ baseURL, apiKey, fetch, retries }) gives { whole(ask), stream(ask) }
//   ask: { model, prompt, seed, max, temperature, signal, headers }
//   whole gives { text, finish, usage }; stream is an iterable of texts that returns the same
//   refused(err) gives { typed, status, code, param } of an error in the SDK's own type
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queensFetch } from './queens.mjs';

const queens = process.env.RBEE_QUEENS.split(',');
const pids = process.env.RBEE_PIDS.split(',').map(Number);
const apiKey = process.env.RBEE_API_KEY;
const model = process.env.RBEE_MODEL;
const baseURL = queens[0] + '/v1';

async function get(path, queen = queens[1]) {
  const res = await fetch(queen + path, { headers: { authorization: `Bearer ${apiKey}` } });
  assert.equal(res.status, 200, `${path}: ${res.status}`);
  return res.json();
}

const jobs = async (state = '') => (await get(`/v2/jobs?limit=1000&consistency=strong&state=${state}`)).items;
const running = () => jobs('running');
const busy = async () => (await get('/v2/workers?consistency=strong')).items.reduce((n, w) => n + w.busy, 0);

// until asks again and again; the time is that of a machine with much else to do.
async function until(what, ask) {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    const got = await ask();
    if (got) return got;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`${what} has not come about`);
}

async function all(stream) {
  let text = '';
  for (;;) {
    const { value, done } = await stream.next();
    if (done) return { ...value, text };
    text += value;
  }
}

export function suite({ connect, refused }) {
  const client = connect({ baseURL, apiKey, retries: 0 });
  const ask = (more) => ({ model, prompt: 'Tell me of the bees', seed: 7, max: 12, ...more });
  const fails = async (call, want) => {
    const err = await call.then(() => assert.fail('it was not refused'), (err) => err);
    const { message, ...got } = refused(err);
    assert.deepEqual(got, { typed: true, param: null, ...want }, message);
    assert.ok(message, 'an error says what is wrong');
  };

  test('a stream and a whole answer are the same', async () => {
    const [streamed, whole] = await Promise.all([all(client.stream(ask())), client.whole(ask())]);
    assert.ok(whole.text.length > 10, whole.text);
    assert.deepEqual(streamed, whole);
    assert.equal(whole.finish, 'length');
    assert.equal(whole.usage, 12);
  });

  for (const way of ['stream', 'whole']) {
    test(`an aborted ${way} frees its slot and cancels its job`, async (t) => {
      const abort = new AbortController();
      const call = ask({ max: 4000, signal: abort.signal });
      let gone;
      if (way === 'stream') {
        const s = client.stream(call);
        for (let i = 0; i < 3; i++) assert.equal((await s.next()).done, false);
        gone = all(s);
      } else {
        gone = client.whole(call);
      }
      gone = gone.then(() => {}, (err) => err); // some SDKs end quietly
      const job = await until('a running job', async () => (await running())[0]);
      const began = Date.now();
      abort.abort();
      await gone;
      await until('an idle worker', async () => (await busy()) === 0);
      t.diagnostic(`the slot was free after ${Date.now() - began} ms`);
      assert.equal((await get(`/v2/jobs/${job.id}?consistency=strong`)).state, 'cancelled');
    });
  }

  test('a wrong key', () => fails(
    connect({ baseURL, apiKey: 'wrong', retries: 0 }).whole(ask()),
    { status: 401, code: 'invalid_api_key' }));
  test('an unknown model', () => fails(
    client.whole(ask({ model: 'nobody/has-this' })),
    { status: 404, code: 'model_not_found', param: 'model' }));
  test('an unknown model, streamed', () => fails(
    all(client.stream(ask({ model: 'nobody/has-this' }))),
    { status: 404, code: 'model_not_found', param: 'model' }));
  test('a bad body', () => fails(
    client.whole(ask({ temperature: 7 })),
    { status: 400, code: 'invalid_request', param: 'temperature' }));

  test('20 calls at once on 4 slots', async () => {
    const calls = [...Array(20).keys()].map((i) => (i % 2 ? client.whole : (a) => all(client.stream(a)))(ask({ seed: i % 5 })));
    const answers = await Promise.all(calls);
    answers.forEach((a, i) => assert.deepEqual(a, answers[i % 5], `call ${i}`));
    assert.equal(new Set(answers.map((a) => a.text)).size, 5);
  });

  test('the queen in use is killed in mid-run', async () => {
    const many = connect({ baseURL, apiKey, fetch: queensFetch(queens), retries: 8 });
    const before = new Set((await jobs()).map((j) => j.id));
    const long = ask({ seed: 70, max: 150 });
    const stream = many.stream(long);
    const whole = many.whole({ ...long, headers: { 'Idempotency-Key': `${process.argv[1]} ${Date.now()}` } });
    const first = await stream.next();
    await until('both running', async () => (await running()).length === 2);
    process.kill(pids[0], 'SIGKILL');
    const [answer, rest] = await Promise.all([whole, all(stream)]);
    assert.equal(first.value + rest.text, answer.text);
    assert.equal(answer.usage, 150);
    const made = (await jobs()).filter((j) => !before.has(j.id));
    assert.deepEqual(made.map((j) => j.state), ['complete', 'complete'], 'one job for each call, however often it was sent');
  });
}
