// The Vercel AI SDK with its provider for OpenAI-compatible servers.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, streamText } from 'ai';
import { suite } from './suite.mjs';

suite({
  connect({ retries, ...options }) {
    const provider = createOpenAICompatible({ name: 'queens', includeUsage: true, ...options });
    const call = ({ model, max, signal, ...ask }) => ({
      ...ask, model: provider(model), maxOutputTokens: max, abortSignal: signal, maxRetries: retries,
    });
    return {
      async whole(ask) {
        const answer = await generateText(call(ask));
        return { text: answer.text, finish: answer.finishReason, usage: answer.usage.outputTokens };
      },
      async* stream(ask) {
        const answer = streamText({ ...call(ask), onError() {} }); // they come as parts, too
        for await (const part of answer.fullStream) {
          if (part.type === 'error') throw part.error;
          if (part.type === 'abort') return {};
          if (part.type === 'text-delta') yield part.text;
        }
        return { finish: await answer.finishReason, usage: (await answer.usage).outputTokens };
      },
    };
  },
  refused(err) {
    const said = JSON.parse(err.responseBody ?? '{}').error ?? {};
    return { typed: APICallError.isInstance(err), status: err.statusCode, code: said.code, param: said.param, message: err.message };
  },
});
