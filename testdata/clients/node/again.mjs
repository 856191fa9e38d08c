// again streams a call of an API that has no way to resume: what breaks off is asked for anew, under
// one Idempotency-Key, which joins the same run, and what was had of it is passed over.
export async function* again(retries, signal, open) {
  const key = crypto.randomUUID();
  let had = '';
  for (let tries = 0; ; tries++) {
    let text = '';
    try {
      for (const stream = open({ 'Idempotency-Key': key }); ;) {
        const { value, done } = await stream.next();
        if (done) return value;
        text += value;
        if (!text.startsWith(had) && !had.startsWith(text)) throw new Error(`another text: ${text}`);
        if (text.length <= had.length) continue;
        const more = text.slice(had.length);
        had = text;
        yield more;
      }
    } catch (err) {
      if (signal?.aborted || err.status || tries >= retries) throw err;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
