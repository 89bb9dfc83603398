// OpenAI's client for JavaScript against the server whose address is given; prints what it saw as JSON.
import OpenAI, { toFile } from "openai";

const [url, rows] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const file = await client.files.create({ file: await toFile(Buffer.from(rows), "rows.jsonl"), purpose: "fine-tune" });
const upload = await client.uploads.create({ filename: "a", purpose: "fine-tune", bytes: 3, mime_type: "text/jsonl" });
const part = await client.uploads.parts.create(upload.id, { data: await toFile(Buffer.from("abc"), "part") });
const whole = await client.uploads.complete(upload.id, { part_ids: [part.id] });
let job = await client.fineTuning.jobs.create({
  model: "tiny",
  training_file: file.id,
  metadata: { from: "node" },
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1 } } },
});
const listed = [];
for await (const one of client.fineTuning.jobs.list({ limit: 1, metadata: { from: "node" } })) listed.push(one.id);
while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
  await new Promise((done) => setTimeout(done, 200));
  job = await client.fineTuning.jobs.retrieve(job.id);
}
const said = [];
for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 2 })) said.unshift(event.message);
const checkpoints = await client.fineTuning.jobs.checkpoints.list(job.id);
const model = job.fine_tuned_model && (await client.models.retrieve(job.fine_tuned_model));
let refusal;
try {
  await client.fineTuning.jobs.create({ model: "none", training_file: file.id });
} catch (error) {
  refusal = [error.status, error.code, error.constructor.name];
}
const content = await (await client.files.content(whole.file.id)).text();
const deleted = await client.files.delete(file.id);
console.log(JSON.stringify({ job, listed, said, checkpoints: checkpoints.data.length, model, refusal, content, deleted }));
