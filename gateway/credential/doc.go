// Package credential answers "what proves to a provider who calls?", and to this gateway who calls it in the manner of AWS.
//
// An [Account] is what an organisation has at a provider: where, in which regions, which models, and how it proves that it is itself. [Discover] finds accounts in the environment,
// which is read through a function that only cmd has. [Endpoints] says what they give access to. An [Authorizer] adds the proof to a call: a key in a header, a signature (the AWS SDK's own
// signer), or a token of Microsoft Entra or Google (their own libraries), which is kept and renewed before it ends.
//
// A [Secret] is never printed. [VerifySigV4] is the other direction: it checks the signature of a request that an AWS SDK sent to this gateway.
package credential
