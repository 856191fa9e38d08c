// queensFetch is a fetch for any SDK that takes one. What cannot be reached, or answers 503, makes
// the SDK's own retry go to the next queen; a stream that breaks off goes on there, where it was.
export function queensFetch(queens, fetch = globalThis.fetch) {
  let at = 0;
  const ask = async (url, init) => {
    const queen = at % queens.length;
    const { pathname, search } = new URL(url);
    const next = () => { if (queen === at % queens.length) at++; };
    try {
      const res = await fetch(new URL(pathname + search, queens[queen]), init);
      if (res.status === 503) next();
      return res;
    } catch (err) {
      if (!init?.signal?.aborted) next();
      throw err;
    }
  };
  return async (url, init) => {
    const res = await ask(url, init);
    const job = res.headers.get('x-rbee-job-id');
    if (!job || !res.headers.get('content-type')?.startsWith('text/event-stream')) return res;
    if (!new URL(url).pathname.endsWith('/completions')) return res; // other events: see again.mjs
    const authorization = new Headers(init.headers).get('authorization');
    const again = (last) => ask(new URL(`/v2/jobs/${job}/events?format=openai`, queens[0]), {
      headers: { authorization, ...(last && { 'last-event-id': last }) },
      signal: init.signal,
    });
    const body = ReadableStream.from(resumed(res, again, init.signal));
    return new Response(body, { status: res.status, headers: res.headers });
  };
}

// resumed reads a stream to its end, over as many connections as it takes. Only whole records
// are passed on, up to the id behind them: the next connection sends the others again.
async function* resumed(res, again, signal) {
  const utf8 = new TextEncoder();
  let last = '';
  for (let tries = 0; ; tries++) {
    let held = '';
    try {
      res ??= await again(last);
      if (res.status === 204) return; // nothing is left
      if (!res.ok) throw new Error(`resuming: ${res.status} ${await res.text()}`);
      for await (const text of res.body.pipeThrough(new TextDecoderStream())) {
        held += text;
        const whole = /^(?:[^]*\n)?id: (\S+)\n(?:data: .*\n)?\n/.exec(held);
        if (!whole) continue;
        yield utf8.encode(whole[0]);
        held = held.slice(whole[0].length);
        [last, tries] = [whole[1], 0];
        if (/^data: (\[DONE\]|\{"error":)/m.test(whole[0])) return;
      }
    } catch (err) {
      if (signal?.aborted || tries === 50) throw err;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (/^data: \{"error":/m.test(held)) { // of this stream alone: it cannot go on
      yield utf8.encode(held);
      return;
    }
    res = undefined;
  }
}
