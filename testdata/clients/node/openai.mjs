// The `openai` package.
import OpenAI from 'openai';
import { suite } from './suite.mjs';

suite({
  connect({ retries, ...options }) {
    const client = new OpenAI({ ...options, maxRetries: retries });
    const body = ({ model, prompt, seed, max, temperature }) => ({
      model, seed, temperature, max_tokens: max, messages: [{ role: 'user', content: prompt }],
    });
    return {
      async whole({ signal, headers, ...ask }) {
        const answer = await client.chat.completions.create(body(ask), { signal, headers });
        const [choice] = answer.choices;
        return { text: choice.message.content, finish: choice.finish_reason, usage: answer.usage.completion_tokens };
      },
      async* stream({ signal, headers, ...ask }) {
        const stream = await client.chat.completions.create(
          { ...body(ask), stream: true, stream_options: { include_usage: true } }, { signal, headers });
        let finish, usage;
        for await (const chunk of stream) {
          usage = chunk.usage?.completion_tokens ?? usage;
          finish = chunk.choices[0]?.finish_reason ?? finish;
          const text = chunk.choices[0]?.delta.content;
          if (text) yield text;
        }
        return { finish, usage };
      },
    };
  },
  refused(err) {
    const types = { 400: OpenAI.BadRequestError, 401: OpenAI.AuthenticationError, 404: OpenAI.NotFoundError };
    const typed = err instanceof (types[err.status] ?? OpenAI) && err.requestID?.length === 26;
    return { typed, status: err.status, code: err.code, param: err.param, message: err.message };
  },
});
