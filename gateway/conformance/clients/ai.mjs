import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { everywhere, greeting, key, once, refusal, url } from "./with.mjs";

const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const interfaces = { "chat completions": provider.chat, responses: provider.responses };
const tools = { get_weather: tool({ description: "The weather of a city.", inputSchema: z.object({ city: z.string() }), execute: async () => ({ degrees: 18 }) }) };

for (const [name, of] of Object.entries(interfaces)) {
  everywhere(`text and stream by ${name}`, async (model) => {
    const got = await generateText({ model: of(model), prompt: "hello", maxRetries: 0 });
    assert.equal(got.text, greeting);
    assert.equal(got.finishReason, "stop");
    assert.deepEqual([got.usage.inputTokens, got.usage.outputTokens], [11, 9]);
    const streamed = streamText({ model: of(model), prompt: "hello", maxRetries: 0 });
    let text = "";
    for await (const delta of streamed.textStream) text += delta;
    assert.equal(text, greeting);
    assert.equal((await streamed.usage).outputTokens, 9);
  });

  everywhere(`a loop of tools by ${name}`, async (model) => {
    const got = await generateText({ model: of(model), prompt: "weather", tools, stopWhen: stepCountIs(3), maxRetries: 0 });
    assert.equal(got.text, "It is 18 degrees in Paris.");
    assert.equal(got.steps.length, 2);
    const streamed = streamText({ model: of(model), prompt: "weather", tools, stopWhen: stepCountIs(3), maxRetries: 0 });
    assert.equal((await streamed.text), "It is 18 degrees in Paris.");
  });

  everywhere(`an object by ${name}`, async (model) => {
    const got = await generateObject({ model: of(model), prompt: "recipe", schema: z.object({ dish: z.string(), minutes: z.number() }), maxRetries: 0 });
    assert.deepEqual(got.object, { dish: "soup", minutes: 20 });
  });

  once(`refusals by ${name}`, async () => {
    assert.equal((await refusal(() => generateText({ model: of("no-such-model"), prompt: "hello", maxRetries: 0 }))).statusCode, 404);
    assert.equal((await refusal(() => generateText({ model: of("limited-chat"), prompt: "hello", maxRetries: 0 }))).statusCode, 429);
  });
}

once("embeddings", async () => {
  const got = await embedMany({ model: provider.textEmbeddingModel("text-embedding-3-small"), values: ["a vector", "another vector"], maxRetries: 0 });
  assert.deepEqual(got.embeddings[1], [0.25, -0.5, 0.75, 1]);
});
