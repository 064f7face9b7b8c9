import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { city, everywhere, greeting, key, nobody, once, recipe, refusal, url } from "./with.mjs";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const base = { max_tokens: 2000, system: "Be brief." };
const user = (content) => [{ role: "user", content }];
const tools = [{ name: "get_weather", description: "The weather of a city.", input_schema: city }];
const said = (m) => m.content.filter((b) => b.type === "text").map((b) => b.text).join("");

everywhere("create and stream", async (model) => {
  const got = await client.messages.create({ ...base, model, messages: user("hello") });
  assert.equal(said(got), greeting);
  assert.equal(got.stop_reason, "end_turn");
  assert.deepEqual([got.usage.input_tokens, got.usage.output_tokens], [11, 9]);
  const streamed = await client.messages.stream({ ...base, model, messages: user("hello") }).finalMessage();
  assert.equal(said(streamed), greeting);
  assert.deepEqual([streamed.usage.input_tokens, streamed.usage.output_tokens], [11, 9]);
});

everywhere("tools over two turns, streamed", async (model) => {
  const messages = user("both cities");
  const first = await client.messages.stream({ ...base, model, messages, tools }).finalMessage();
  const calls = first.content.filter((b) => b.type === "tool_use");
  assert.deepEqual(calls.map((c) => c.input), [{ city: "Paris" }, { city: "Oslo" }]);
  assert.equal(first.stop_reason, "tool_use");
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: calls.map((c) => ({ type: "tool_result", tool_use_id: c.id, content: "18" })) });
  const second = await client.messages.create({ ...base, model, messages, tools });
  assert.equal(said(second), "Paris has 18 degrees and Oslo has 4.");
});

everywhere("structured output", async (model) => {
  const got = await client.messages.create({ ...base, model, messages: user("recipe"), output_config: { format: { type: "json_schema", schema: recipe } } });
  assert.deepEqual(JSON.parse(said(got)), { dish: "soup", minutes: 20 });
});

everywhere("a limit with nothing else available", async (model) => {
  const e = await refusal(() => client.messages.create({ ...base, model: `limited-${model}`, messages: user("hello") }));
  assert.ok(e instanceof Anthropic.RateLimitError, `${e}`);
  assert.equal(e.error.error.type, "rate_limit_error");
});

everywhere("a stream that is cut", async (model) => {
  let text = "";
  const stream = client.messages.stream({ ...base, model: `cutting-node-anthropic-${model}`, messages: user("go on") });
  stream.on("text", (t) => (text += t));
  const e = await refusal(() => stream.finalMessage());
  assert.ok(e instanceof Anthropic.APIError, `${e}`);
  assert.match(text, /^This ans/);
});

once("thinking, and its signature in the next turn", async () => {
  const messages = user("think");
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const first = await client.messages.stream({ ...base, model: "messages", messages, thinking }).finalMessage();
  assert.equal(first.content[0].thinking, "First I weigh both sides.");
  assert.ok(first.content[0].signature);
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: "think again" });
  assert.equal(said(await client.messages.create({ ...base, model: "messages", messages, thinking })), "Forty-two.");
});

once("hanging up", async () => {
  const stream = client.messages.stream({ ...base, model: "messages", messages: user("count") });
  await new Promise((r) => stream.once("text", r));
  stream.abort();
  assert.ok((await refusal(() => stream.finalMessage())) instanceof Anthropic.APIUserAbortError);
});

once("refusals", async () => {
  assert.ok((await refusal(() => client.messages.create({ ...base, model: "no-such-model", messages: user("hello") }))) instanceof Anthropic.NotFoundError);
  const stranger = new Anthropic({ baseURL: url, apiKey: nobody, maxRetries: 0 });
  assert.ok((await refusal(() => stranger.messages.create({ ...base, model: "messages", messages: user("hello") }))) instanceof Anthropic.AuthenticationError);
});

once("tokens counted, models listed", async () => {
  const got = await client.messages.countTokens({ model: "messages", messages: user("A word. ".repeat(200)) });
  assert.ok(got.input_tokens > 100 && got.input_tokens < 2000, `${got.input_tokens}`);
  const names = [];
  for await (const m of client.models.list()) names.push(m.id);
  assert.ok(names.includes("messages"));
});
