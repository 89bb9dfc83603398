// Vercel's AI SDK with chat completions: its provider for OpenAI, and the one for compatible servers.
import assert from "node:assert";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";
import { model as name, question as prompt, run, url } from "./steps.mjs";

const model = createOpenAI({ baseURL: url, apiKey: "any" }).chat(name);
const compatible = createOpenAICompatible({ name: "ftkit", baseURL: url, apiKey: "any", supportsStructuredOutputs: true });
const common = { prompt, maxRetries: 0 };
const schema = z.object({ number: z.literal([4, 5, 12]), ward: z.enum(["A", "B"]).nullable() });
const reserve = tool({ description: "Reserve a bed.", inputSchema: schema, execute: async () => "done" });

await run({
  async chat() {
    assert((await generateText({ model, ...common, maxOutputTokens: 8, frequencyPenalty: 0.5 })).text);
    assert((await generateText({ model: compatible(name), ...common, maxOutputTokens: 8 })).text);
  },
  async stream() {
    let text = "";
    for await (const part of streamText({ model, ...common, maxOutputTokens: 8 }).textStream) text += part;
    assert(text);
  },
  async tools() {
    for (const toolChoice of ["required", { type: "tool", toolName: "reserve" }]) {
      const providerOptions = { openai: { parallelToolCalls: false } };
      const options = { tools: { reserve }, toolChoice, providerOptions, maxOutputTokens: 200 };
      const { toolCalls, toolResults } = await generateText({ model, ...common, ...options });
      assert([4, 5, 12].includes(toolCalls[0].input.number));
      assert.equal(toolResults[0].output, "done");
    }
  },
  async structured() {
    assert([4, 5, 12].includes((await generateObject({ model, schema, ...common })).object.number));
    const output = Output.object({ schema });
    assert([4, 5, 12].includes((await generateText({ model, output, ...common })).output.number));
    assert((await generateObject({ model: compatible(name), schema, ...common })).object.number);
  },
});
