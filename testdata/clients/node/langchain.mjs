// LangChain's ChatOpenAI.
import { ChatOpenAI } from '@langchain/openai';
import { suite } from './suite.mjs';

suite({
  connect({ retries, apiKey, baseURL, fetch }) {
    const model = ({ model, max, temperature }) => new ChatOpenAI({
      model, apiKey, temperature, maxTokens: max, maxRetries: retries, configuration: { baseURL, fetch },
    });
    const options = ({ seed, signal, headers }) => ({ seed, signal, options: { headers } });
    const said = (message) => ({
      finish: message.response_metadata.finish_reason, usage: message.usage_metadata.output_tokens,
    });
    return {
      async whole(ask) {
        const message = await model(ask).invoke(ask.prompt, options(ask));
        return { text: message.content, ...said(message) };
      },
      async* stream(ask) {
        let message;
        for await (const chunk of await model(ask).stream(ask.prompt, options(ask))) {
          message = message ? message.concat(chunk) : chunk;
          if (chunk.content) yield chunk.content;
        }
        return said(message);
      },
    };
  },
  refused(err) {
    const typed = err.constructor.name === { 400: 'BadRequestError', 401: 'AuthenticationError', 404: 'NotFoundError' }[err.status];
    return { typed, status: err.status, code: err.code, param: err.param, message: err.message };
  },
});
