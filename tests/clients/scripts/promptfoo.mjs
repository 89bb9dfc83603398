// promptfoo: an evaluation of two prompts by its provider for OpenAI.
import assert from "node:assert";
import { model, question, run, url } from "./steps.mjs";

process.env.PROMPTFOO_DISABLE_TELEMETRY = process.env.PROMPTFOO_DISABLE_UPDATE = "1";
process.env.PROMPTFOO_CACHE_ENABLED = "false";
const promptfoo = (await import("promptfoo")).default;

const schema = {
  type: "object",
  properties: { number: { type: "integer", enum: [4, 5, 12] } },
  required: ["number"],
  additionalProperties: false,
};

async function evaluated(config, check) {
  const provider = { id: `openai:chat:${model}`, config: { apiBaseUrl: url, apiKey: "any", max_tokens: 100, ...config } };
  const suite = { prompts: [question, `Briefly: ${question}`], providers: [provider], tests: [{ assert: [check] }] };
  const summary = await (await promptfoo.evaluate(suite, { maxConcurrency: 2 })).toEvaluateSummary();
  assert.equal(summary.stats.successes, 2, JSON.stringify(summary.results[0]?.error));
}

await run({
  chat: () => evaluated({ frequency_penalty: 0.1, seed: 1 }, { type: "javascript", value: "output.length > 0" }),
  structured: () =>
    evaluated(
      { response_format: { type: "json_schema", json_schema: { name: "bed", strict: true, schema } } },
      { type: "javascript", value: "[4, 5, 12].includes(output.number)" },
    ),
  tools: () =>
    evaluated(
      {
        tools: [{ type: "function", function: { name: "reserve", parameters: schema, strict: true } }],
        tool_choice: "required",
        parallel_tool_calls: false,
      },
      { type: "is-valid-openai-tools-call" },
    ),
});
process.exit(0);
