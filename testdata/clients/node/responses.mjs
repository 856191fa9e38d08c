// The `openai` package and its Responses API.
import OpenAI from 'openai';
import { again } from './again.mjs';
import { suite } from './suite.mjs';

suite({
  connect({ retries, ...options }) {
    const client = new OpenAI({ ...options, maxRetries: retries });
    const body = ({ model, prompt, seed, max, temperature }) => ({
      model, seed, temperature, max_output_tokens: max, input: prompt, store: false,
    });
    const ended = ({ status, incomplete_details: cut, usage }) => {
      const finish = status === 'incomplete' && cut.reason === 'max_output_tokens' ? 'length' : status;
      return { finish, usage: usage.output_tokens };
    };
    async function* once({ signal, headers, ...ask }) {
      const stream = client.responses.stream(body(ask), { signal, headers });
      for await (const event of stream) {
        if (event.type === 'response.output_text.delta') yield event.delta;
      }
      return ended(await stream.finalResponse());
    }
    return {
      async whole({ signal, headers, ...ask }) {
        const response = await client.responses.create(body(ask), { signal, headers });
        return { text: response.output_text, ...ended(response) };
      },
      stream: (ask) => again(retries, ask.signal, (headers) => once({ ...ask, headers })),
    };
  },
  refused(err) {
    const types = { 400: OpenAI.BadRequestError, 401: OpenAI.AuthenticationError, 404: OpenAI.NotFoundError };
    const typed = err instanceof (types[err.status] ?? OpenAI) && err.requestID?.length === 26;
    return { typed, status: err.status, code: err.code, param: err.param, message: err.message };
  },
});
