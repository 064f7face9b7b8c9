import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";
import { city, everywhere, greeting, key, nobody, once, recipe, refusal, url } from "./with.mjs";

const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
const config = { systemInstruction: "Be brief." };
const tools = [{ functionDeclarations: [{ name: "get_weather", description: "The weather of a city.", parametersJsonSchema: city }] }];

everywhere("generate and stream", async (model) => {
  const got = await client.models.generateContent({ model, contents: "hello", config });
  assert.equal(got.text, greeting);
  assert.equal(got.candidates[0].finishReason, "STOP");
  assert.deepEqual([got.usageMetadata.promptTokenCount, got.usageMetadata.candidatesTokenCount], [11, 9]);
  let text = "", last;
  for await (const chunk of await client.models.generateContentStream({ model, contents: "hello", config })) {
    text += chunk.text ?? "";
    last = chunk;
  }
  assert.equal(text, greeting);
  assert.equal(last.candidates[0].finishReason, "STOP");
  assert.equal(last.usageMetadata.candidatesTokenCount, 9);
});

everywhere("tools over two turns, streamed", async (model) => {
  const contents = [{ role: "user", parts: [{ text: "both cities" }] }];
  const parts = [];
  for await (const chunk of await client.models.generateContentStream({ model, contents, config: { ...config, tools } })) parts.push(...(chunk.candidates[0].content?.parts ?? []));
  const calls = parts.filter((p) => p.functionCall);
  assert.deepEqual(calls.map((p) => p.functionCall.args), [{ city: "Paris" }, { city: "Oslo" }]);
  contents.push({ role: "model", parts });
  contents.push({ role: "user", parts: calls.map(({ functionCall: { id, name } }) => ({ functionResponse: { id, name, response: { degrees: 18 } } })) });
  const second = await client.models.generateContent({ model, contents, config: { ...config, tools } });
  assert.equal(second.text, "Paris has 18 degrees and Oslo has 4.");
});

everywhere("structured output", async (model) => {
  const got = await client.models.generateContent({ model, contents: "recipe", config: { responseMimeType: "application/json", responseJsonSchema: recipe } });
  assert.deepEqual(JSON.parse(got.text), { dish: "soup", minutes: 20 });
});

everywhere("a limit with nothing else available", async (model) => {
  const e = await refusal(() => client.models.generateContent({ model: `limited-${model}`, contents: "hello" }));
  assert.ok(e instanceof ApiError, `${e}`);
  assert.equal(e.status, 429);
});

everywhere("a stream that is cut", async (model) => {
  let text = "";
  const e = await refusal(async () => {
    for await (const chunk of await client.models.generateContentStream({ model: `cutting-node-gemini-${model}`, contents: "go on" })) {
      text += chunk.text ?? "";
      assert.ok(!chunk.candidates?.[0]?.finishReason);
    }
  });
  assert.ok(e, "half an answer looks whole");
  assert.match(text, /^This ans/);
});

once("hanging up", async () => {
  const abort = new AbortController();
  await refusal(async () => {
    for await (const chunk of await client.models.generateContentStream({ model: "gemini", contents: "count", config: { abortSignal: abort.signal } })) if (chunk.text) abort.abort();
  });
});

once("refusals", async () => {
  assert.equal((await refusal(() => client.models.generateContent({ model: "no-such-model", contents: "hello" }))).status, 404);
  const stranger = new GoogleGenAI({ apiKey: nobody, httpOptions: { baseUrl: url } });
  assert.ok([400, 401].includes((await refusal(() => stranger.models.generateContent({ model: "gemini", contents: "hello" }))).status));
});

once("tokens counted, models listed", async () => {
  const got = await client.models.countTokens({ model: "gemini", contents: "A word. ".repeat(200) });
  assert.ok(got.totalTokens > 100 && got.totalTokens < 2000, `${got.totalTokens}`);
  const names = [];
  for await (const m of await client.models.list()) names.push(m.name);
  assert.ok(names.includes("models/gemini"), `${names}`);
  assert.equal((await client.models.get({ model: "gemini" })).name, "models/gemini");
});
