import assert from "node:assert/strict";
import OpenAI from "openai";
import { city, everywhere, greeting, key, nobody, once, recipe, refusal, url } from "./with.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const user = (content) => [{ role: "system", content: "Be brief." }, { role: "user", content }];
const tools = [{ type: "function", function: { name: "get_weather", description: "The weather of a city.", parameters: city, strict: true } }];

everywhere("chat", async (model) => {
  const got = await client.chat.completions.create({ model, messages: user("hello"), max_completion_tokens: 200 });
  assert.equal(got.choices[0].message.content, greeting);
  assert.equal(got.choices[0].finish_reason, "stop");
  assert.deepEqual([got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens], [11, 9, 20]);
});

everywhere("stream", async (model) => {
  const stream = client.chat.completions.stream({ model, messages: user("hello"), stream_options: { include_usage: true } });
  let deltas = 0;
  stream.on("content", () => deltas++);
  const got = await stream.finalChatCompletion();
  assert.equal(got.choices[0].message.content, greeting);
  assert.ok(deltas > 1);
  assert.equal(got.usage.completion_tokens, 9);
});

everywhere("tools over two turns, streamed", async (model) => {
  const messages = user("both cities");
  const first = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  const { tool_calls: calls, content } = first.choices[0].message;
  assert.equal(content, "I look it up.");
  assert.deepEqual(calls.map((c) => JSON.parse(c.function.arguments)), [{ city: "Paris" }, { city: "Oslo" }]);
  assert.equal(first.choices[0].finish_reason, "tool_calls");
  messages.push(first.choices[0].message, ...calls.map((c) => ({ role: "tool", tool_call_id: c.id, content: "18" })));
  const second = await client.chat.completions.create({ model, messages, tools });
  assert.equal(second.choices[0].message.content, "Paris has 18 degrees and Oslo has 4.");
});

everywhere("structured output", async (model) => {
  const got = await client.chat.completions.parse({
    model, messages: user("recipe"), response_format: { type: "json_schema", json_schema: { name: "recipe", strict: true, schema: recipe } },
  });
  assert.deepEqual(JSON.parse(got.choices[0].message.content), { dish: "soup", minutes: 20 });
});

everywhere("a limit with nothing else available", async (model) => {
  const e = await refusal(() => client.chat.completions.create({ model: `limited-${model}`, messages: user("hello") }));
  assert.ok(e instanceof OpenAI.RateLimitError, `${e}`);
  assert.ok(e.headers.get("retry-after"));
  assert.ok(e.message.length > 10);
});

everywhere("a stream that is cut", async (model) => {
  let text = "";
  const e = await refusal(async () => {
    for await (const chunk of await client.chat.completions.create({ model: `cutting-node-openai-${model}`, messages: user("go on"), stream: true })) {
      text += chunk.choices[0]?.delta.content ?? "";
      assert.ok(!chunk.choices[0]?.finish_reason);
    }
  });
  assert.ok(e instanceof OpenAI.APIError, `${e}`);
  assert.match(text, /^This ans/);
});

once("refusals", async () => {
  assert.ok((await refusal(() => client.chat.completions.create({ model: "no-such-model", messages: user("hello") }))) instanceof OpenAI.NotFoundError);
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: nobody, maxRetries: 0 });
  const e = await refusal(() => stranger.chat.completions.create({ model: "chat", messages: user("hello") }));
  assert.ok(e instanceof OpenAI.AuthenticationError);
  assert.equal(e.code, "invalid_api_key");
  assert.ok((await refusal(() => client.chat.completions.create({ model: "chat" }))) instanceof OpenAI.BadRequestError);
});

once("hanging up", async () => {
  const stream = await client.chat.completions.create({ model: "chat", messages: user("count"), stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  assert.ok(stream.controller.signal.aborted);
});

once("embeddings and models", async () => {
  const got = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a vector", "another vector"] });
  assert.deepEqual(got.data.map((d) => d.embedding), [[0.25, -0.5, 0.75, 1], [0.25, -0.5, 0.75, 1]]);
  const names = [];
  for await (const m of client.models.list()) names.push(m.id);
  assert.ok(names.includes("chat") && names.includes("safe-bedrock"));
  assert.equal((await client.models.retrieve("chat")).id, "chat");
});
