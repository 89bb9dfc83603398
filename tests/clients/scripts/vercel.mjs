// Vercel's AI SDK: its provider for OpenAI with its default, the Responses API, and with chat completions, and the one for
// compatible servers.
import assert from "node:assert";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { model as name, question as prompt, run, url } from "./steps.mjs";

const openai = createOpenAI({ baseURL: url, apiKey: "any" });
const model = openai.chat(name);
const models = [openai(name), model];
const compatible = createOpenAICompatible({ name: "ftkit", baseURL: url, apiKey: "any", supportsStructuredOutputs: true });
const common = { prompt, maxRetries: 0 };
const schema = z.object({ number: z.literal([4, 5, 12]), ward: z.enum(["A", "B"]).nullable() });
const reserve = tool({ description: "Reserve a bed.", inputSchema: schema, execute: async () => "done" });

await run({
  async chat() {
    assert((await generateText({ model: openai(name), ...common, maxOutputTokens: 8 })).text);
    assert((await generateText({ model, ...common, maxOutputTokens: 8, frequencyPenalty: 0.5 })).text);
    assert((await generateText({ model: compatible(name), ...common, maxOutputTokens: 8 })).text);
  },
  async stream() {
    for (const each of models) {
      let text = "";
      for await (const part of streamText({ model: each, ...common, maxOutputTokens: 8 }).textStream) text += part;
      assert(text);
    }
  },
  async tools() {
    const choices = ["required", { type: "tool", toolName: "reserve" }];
    for (const [each, toolChoice] of models.flatMap((one) => choices.map((choice) => [one, choice]))) {
      const providerOptions = { openai: { parallelToolCalls: false } };
      const options = { tools: { reserve }, toolChoice, providerOptions, maxOutputTokens: 200 };
      const { toolCalls, toolResults } = await generateText({ model: each, ...common, ...options });
      assert([4, 5, 12].includes(toolCalls[0].input.number));
      assert.equal(toolResults[0].output, "done");
    }
    for (const each of models) { // an agent: with the Responses API, its second step names the items of the first
      const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" });
      const providerOptions = { openai: { parallelToolCalls: false } };
      const options = { tools: { reserve }, stopWhen: stepCountIs(2), prepareStep, providerOptions, maxOutputTokens: 200 };
      const { steps } = await generateText({ model: each, ...common, ...options });
      assert.equal(steps.length, 2);
      const turns = [{ role: "user", content: prompt }, ...steps[1].response.messages, { role: "user", content: "And now?" }];
      assert((await generateText({ model: each, maxRetries: 0, messages: turns, maxOutputTokens: 8 })).text);
    }
  },
  async structured() {
    for (const each of models) {
      assert([4, 5, 12].includes((await generateObject({ model: each, schema, ...common })).object.number));
      const output = Output.object({ schema });
      assert([4, 5, 12].includes((await generateText({ model: each, output, ...common })).output.number));
    }
    assert((await generateObject({ model: compatible(name), schema, ...common })).object.number);
  },
});
