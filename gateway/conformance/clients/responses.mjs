import assert from "node:assert/strict";
import OpenAI from "openai";
import { city, everywhere, greeting, key, once, recipe, refusal, url } from "./with.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const tools = [{ type: "function", name: "get_weather", description: "The weather of a city.", parameters: city, strict: true }];

everywhere("create and stream", async (model) => {
  const got = await client.responses.create({ model, input: "hello", instructions: "Be brief.", store: false });
  assert.equal(got.output_text, greeting);
  assert.equal(got.status, "completed");
  assert.deepEqual([got.usage.input_tokens, got.usage.output_tokens, got.usage.total_tokens], [11, 9, 20]);
  const stream = client.responses.stream({ model, input: "hello" });
  let text = "";
  stream.on("response.output_text.delta", (e) => (text += e.delta));
  const final = await stream.finalResponse();
  assert.equal(text, greeting);
  assert.equal(final.output_text, greeting);
});

everywhere("tools over two turns, by previous_response_id", async (model) => {
  const first = await client.responses.stream({ model, input: "both cities", tools }).finalResponse();
  const calls = first.output.filter((o) => o.type === "function_call");
  assert.deepEqual(calls.map((c) => JSON.parse(c.arguments)), [{ city: "Paris" }, { city: "Oslo" }]);
  const second = await client.responses.create({
    model, tools, previous_response_id: first.id, input: calls.map((c) => ({ type: "function_call_output", call_id: c.call_id, output: "18" })),
  });
  assert.equal(second.output_text, "Paris has 18 degrees and Oslo has 4.");
  if (model === "responses") return; // the servers leave the field out, and the gateway adds none to what it passes through
  assert.equal(second.previous_response_id, first.id);
  assert.match(second.id, /^resp_/);
  assert.equal((await client.responses.retrieve(second.id)).previous_response_id, first.id);
});

everywhere("tools over two turns, with all that was said sent again", async (model) => {
  const input = [{ role: "user", content: "both cities" }];
  const first = await client.responses.stream({ model, input, tools, store: false, include: ["reasoning.encrypted_content"] }).finalResponse();
  input.push(...first.output);
  for (const c of first.output) if (c.type === "function_call") input.push({ type: "function_call_output", call_id: c.call_id, output: "18" });
  const second = await client.responses.parse({ model, input, tools, store: false });
  assert.equal(second.output_text, "Paris has 18 degrees and Oslo has 4.");
});

everywhere("structured output", async (model) => {
  const got = await client.responses.create({ model, input: "recipe", text: { format: { type: "json_schema", name: "recipe", strict: true, schema: recipe } } });
  assert.deepEqual(JSON.parse(got.output_text), { dish: "soup", minutes: 20 });
});

everywhere("kept, asked for, listed and deleted", async (model) => {
  const first = await client.responses.create({ model, input: "hello, I am Ada" });
  const again = await client.responses.retrieve(first.id);
  assert.equal(again.output_text, first.output_text);
  assert.equal(again.id, first.id);
  const second = await client.responses.create({ model, input: "What is my name?", previous_response_id: first.id });
  assert.equal(second.output_text, "Your name is Ada.");
  const items = [];
  for await (const item of client.responses.inputItems.list(first.id)) items.push(item);
  assert.equal(items.length, 1);
  assert.equal(items[0].content[0].text, "hello, I am Ada");
  await client.responses.delete(first.id);
  assert.ok((await refusal(() => client.responses.retrieve(first.id))) instanceof OpenAI.NotFoundError);
});

everywhere("in the background", async (model) => {
  let got = await client.responses.create({ model, input: "hello", background: true });
  assert.ok(["queued", "in_progress"].includes(got.status), got.status);
  const { id } = got;
  for (let n = 0; n < 200 && ["queued", "in_progress"].includes(got.status); n++) {
    await new Promise((r) => setTimeout(r, 50));
    got = await client.responses.retrieve(id);
  }
  assert.equal(got.status, "completed");
  assert.equal(got.id, id);
  assert.equal(got.output_text, greeting);
});

once("in the background, and canceled", async () => {
  const got = await client.responses.create({ model: "chat", input: "take your time", background: true });
  const ended = await client.responses.cancel(got.id);
  assert.equal(ended.status, "cancelled");
  assert.equal((await client.responses.retrieve(got.id)).status, "cancelled");
});

everywhere("a stream that is cut", async (model) => {
  let text = "";
  const events = [];
  try {
    for await (const e of await client.responses.create({ model: `cutting-node-responses-${model}`, input: "go on", stream: true })) {
      events.push(e.type);
      if (e.type === "response.output_text.delta") text += e.delta;
    }
  } catch (e) {
    assert.ok(e instanceof OpenAI.APIError, `${e}`);
    events.push("error");
  }
  assert.match(text, /^This ans/);
  assert.ok(["error", "response.failed"].includes(events.at(-1)), `${events}`);
});

once("refusals", async () => {
  assert.ok((await refusal(() => client.responses.create({ model: "no-such-model", input: "hello" }))) instanceof OpenAI.NotFoundError);
  assert.ok((await refusal(() => client.responses.retrieve("resp_of_nobody"))) instanceof OpenAI.NotFoundError);
  assert.ok((await refusal(() => client.responses.create({ model: "limited-chat", input: "hello" }))) instanceof OpenAI.RateLimitError);
});
