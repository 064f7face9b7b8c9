// Starts the servers that the gateway asks, says where they are and which calls were hung up on, and ends when whoever started it does.
import { subscribe } from "node:diagnostics_channel";
import { fileURLToPath } from "node:url";
import { LLMock } from "@copilotkit/aimock";

// The servers' journal does not say that a client went away in the middle of an answer. Node does.
subscribe("http.server.request.start", ({ request, response }) => {
  response.on("close", () => {
    if (!response.writableFinished) console.log(`hung up ${request.headers["x-client-request-id"] ?? ""}`);
  });
});

const mock = new LLMock({ port: 0, host: "127.0.0.1", strict: true, journalMaxEntries: 0 });
mock.loadFixtureFile(fileURLToPath(new URL("./fixtures.json", import.meta.url)));
await mock.start();
console.log(mock.url);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
