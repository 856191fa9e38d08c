// The `@anthropic-ai/sdk` package and its Messages API. Its base URL is the queen's own.
import Anthropic from '@anthropic-ai/sdk';
import { again } from './again.mjs';
import { suite } from './suite.mjs';

// The suite speaks of errors as the OpenAI API does.
const codes = { unauthenticated: 'invalid_api_key' };
const types = {
  400: ['invalid_request_error', Anthropic.BadRequestError],
  401: ['authentication_error', Anthropic.AuthenticationError],
  404: ['not_found_error', Anthropic.NotFoundError],
};

suite({
  connect({ retries, baseURL, ...options }) {
    const client = new Anthropic({ ...options, baseURL: new URL(baseURL).origin, maxRetries: retries });
    const body = ({ model, prompt, seed, max, temperature }) => ({
      model, seed, temperature, max_tokens: max, messages: [{ role: 'user', content: prompt }],
    });
    const ended = ({ stop_reason: why, usage }) => (
      { finish: why === 'max_tokens' ? 'length' : why, usage: usage.output_tokens });
    async function* once({ signal, headers, ...ask }) {
      const stream = client.messages.stream(body(ask), { signal, headers });
      for await (const event of stream) {
        if (event.type === 'content_block_delta') yield event.delta.text;
      }
      return ended(await stream.finalMessage());
    }
    return {
      async whole({ signal, headers, ...ask }) {
        const message = await client.messages.create(body(ask), { signal, headers });
        return { text: message.content.map((block) => block.text).join(''), ...ended(message) };
      },
      stream: (ask) => again(retries, ask.signal, (headers) => once({ ...ask, headers })),
    };
  },
  refused(err) {
    const [type, of] = types[err.status];
    const { code, message } = err.error.error;
    return {
      typed: err instanceof of && err.type === type && err.requestID?.length === 26,
      status: err.status, code: codes[code] ?? code, message,
      param: code === 'model_not_found' ? 'model' : /^(\w+): is /.exec(message)?.[1] ?? null,
    };
  },
});
