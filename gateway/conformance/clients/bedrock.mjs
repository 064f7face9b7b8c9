import assert from "node:assert/strict";
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { city, everywhere, greeting, key, nobody, once, refusal, url } from "./with.mjs";

const common = { endpoint: url, region: "us-east-1", maxAttempts: 1, authSchemePreference: ["httpBearerAuth"] };
const open = (more, token = key) => new BedrockRuntimeClient({ ...common, token: { token }, ...more });
const clients = { "h2c": open({}), "HTTP/1.1": open({ requestHandler: new NodeHttpHandler() }) };
const user = (text) => [{ role: "user", content: [{ text }] }];
const base = { system: [{ text: "Be brief." }] };
const toolConfig = { tools: [{ toolSpec: { name: "get_weather", description: "The weather of a city.", inputSchema: { json: city } } }] };

// gathered reads a stream to its end.
async function gathered(client, input, tell = () => {}) {
  const out = { text: "", calls: [] };
  for await (const e of (await client.send(new ConverseStreamCommand({ ...base, ...input }))).stream) {
    const use = e.contentBlockStart?.start?.toolUse;
    if (use) out.calls.push({ ...use, input: "" });
    const delta = e.contentBlockDelta?.delta;
    out.text += delta?.text ?? "";
    if (delta?.toolUse) out.calls.at(-1).input += delta.toolUse.input;
    out.stop = e.messageStop?.stopReason ?? out.stop;
    out.usage = e.metadata?.usage ?? out.usage;
    tell(out);
  }
  return out;
}

for (const [wire, client] of Object.entries(clients)) {
  everywhere(`converse and stream over ${wire}`, async (modelId) => {
    const got = await client.send(new ConverseCommand({ ...base, modelId, messages: user("hello") }));
    assert.equal(got.output.message.content.map((b) => b.text ?? "").join(""), greeting);
    assert.equal(got.stopReason, "end_turn");
    assert.deepEqual([got.usage.inputTokens, got.usage.outputTokens], [11, 9]);
    const streamed = await gathered(client, { modelId, messages: user("hello") });
    assert.equal(streamed.text, greeting);
    assert.equal(streamed.stop, "end_turn");
    assert.equal(streamed.usage.outputTokens, 9);
  });

  everywhere(`tools over two turns over ${wire}`, async (modelId) => {
    const messages = user("both cities");
    const first = await gathered(client, { modelId, messages, toolConfig });
    assert.deepEqual(first.calls.map((c) => JSON.parse(c.input)), [{ city: "Paris" }, { city: "Oslo" }]);
    assert.equal(first.stop, "tool_use");
    messages.push({ role: "assistant", content: [{ text: first.text }, ...first.calls.map((c) => ({ toolUse: { toolUseId: c.toolUseId, name: c.name, input: JSON.parse(c.input) } }))] });
    messages.push({ role: "user", content: first.calls.map((c) => ({ toolResult: { toolUseId: c.toolUseId, content: [{ text: "18" }] } })) });
    const second = await client.send(new ConverseCommand({ ...base, modelId, messages, toolConfig }));
    assert.equal(second.output.message.content.map((b) => b.text ?? "").join(""), "Paris has 18 degrees and Oslo has 4.");
  });

  everywhere(`a limit over ${wire}`, async (model) => {
    const e = await refusal(() => client.send(new ConverseCommand({ modelId: `limited-${model}`, messages: user("hello") })));
    assert.equal(e.name, "ThrottlingException", `${e}`);
  });

  everywhere(`a stream that is cut over ${wire}`, async (model) => {
    let text = "";
    const e = await refusal(() => gathered(client, { modelId: `cutting-node-${wire === "h2c" ? wire : "http"}-${model}`, messages: user("go on") }, (out) => (text = out.text)));
    assert.match(e.name, /Exception$/);
    assert.match(text, /^This ans/);
  });
}

once("hanging up", async () => {
  const abort = new AbortController();
  const got = await clients.h2c.send(new ConverseStreamCommand({ modelId: "chat", messages: user("count") }), { abortSignal: abort.signal });
  await refusal(async () => {
    for await (const e of got.stream) if (e.contentBlockDelta) throw new Error("that is enough");
  });
  abort.abort();
});

once("refusals", async () => {
  const unknown = await refusal(() => clients.h2c.send(new ConverseCommand({ modelId: "no-such-model", messages: user("hello") })));
  assert.ok(["ResourceNotFoundException", "ValidationException"].includes(unknown.name), `${unknown}`);
  const stranger = await refusal(() => open({}, nobody).send(new ConverseCommand({ modelId: "bedrock", messages: user("hello") })));
  assert.ok(["AccessDeniedException", "UnrecognizedClientException"].includes(stranger.name), `${stranger}`);
  for (const c of Object.values(clients)) c.destroy();
});
