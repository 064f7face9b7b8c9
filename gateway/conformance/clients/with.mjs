// What every client is given, and what all of them are asked to do.
import assert from "node:assert/strict";
import { test } from "node:test";

export const url = process.env.GATEWAY_URL;
export const key = process.env.GATEWAY_KEY;
export const nobody = "dck_nobody_nothing";
export const formats = ["chat", "responses", "messages", "gemini", "bedrock"];
export const greeting = "Hello from the other side of the gateway.";
export const recipe = {
  type: "object",
  properties: { dish: { type: "string" }, minutes: { type: "integer" } },
  required: ["dish", "minutes"],
  additionalProperties: false,
};
export const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

// everywhere runs a test with the model of each format.
export function everywhere(name, fn) {
  for (const model of formats) test(`${model}: ${name}`, { timeout: 60_000 }, () => fn(model));
}

// once runs a test.
export function once(name, fn) {
  test(name, { timeout: 60_000 }, fn);
}

// refusal awaits an error.
export async function refusal(fn) {
  try {
    await fn();
  } catch (e) {
    return e;
  }
  assert.fail("it was not refused");
}
