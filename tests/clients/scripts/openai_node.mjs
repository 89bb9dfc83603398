// OpenAI's client for JavaScript, with its helpers for zod.
import assert from "node:assert";
import fs from "node:fs";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { model, question, rows, run, url } from "./steps.mjs";

const client = new OpenAI({ baseURL: url, apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const Bed = z.object({ number: z.literal([4, 5, 12]), ward: z.enum(["A", "B"]).nullable() });

await run({
  async chat() {
    const reply = await client.chat.completions.create({ model, messages, max_tokens: 8, presence_penalty: 0.5 });
    assert(reply.choices[0].message.content);
  },
  async stream() {
    const final = await client.chat.completions.stream({ model, messages, max_tokens: 8 }).finalContent();
    assert(final);
  },
  async tools() {
    const tool = zodFunction({ name: "reserve", parameters: Bed });
    const reply = await client.chat.completions.parse({
      ...{ model, messages, tools: [tool] },
      ...{ tool_choice: { type: "function", function: { name: "reserve" } } },
    });
    assert([4, 5, 12].includes(reply.choices[0].message.tool_calls[0].function.parsed_arguments.number));
  },
  async structured() {
    const format = zodResponseFormat(Bed, "bed");
    const reply = await client.chat.completions.parse({ model, messages, response_format: format });
    assert([4, 5, 12].includes(reply.choices[0].message.parsed.number));
  },
  async tune() {
    const file = await client.files.create({ file: fs.createReadStream(rows), purpose: "fine-tune" });
    const method = { type: "supervised", supervised: { hyperparameters: { n_epochs: 1 } } };
    let job = await client.fineTuning.jobs.create({ model, training_file: file.id, method });
    while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
      await new Promise((done) => setTimeout(done, 300));
      job = await client.fineTuning.jobs.retrieve(job.id);
    }
    assert.equal(job.status, "succeeded");
  },
});
