package telemetry

import "go.opentelemetry.io/otel/attribute"

// conventions is the version of OpenTelemetry's semantic conventions that the names below are from: the last that holds those of generative AI.
const conventions = "1.41.0"

// schemaURL says so on the wire.
const schemaURL = "https://opentelemetry.io/schemas/" + conventions

// scope is who makes the spans and metrics.
const scope = "decouple.dev/decouple/gateway"

// The attributes of the conventions.
const (
	operationName    = attribute.Key("gen_ai.operation.name")
	providerName     = attribute.Key("gen_ai.provider.name")
	agentName        = attribute.Key("gen_ai.agent.name")
	requestModel     = attribute.Key("gen_ai.request.model")
	requestStream    = attribute.Key("gen_ai.request.stream")
	responseModel    = attribute.Key("gen_ai.response.model")
	finishReasons    = attribute.Key("gen_ai.response.finish_reasons")
	timeToFirstChunk = attribute.Key("gen_ai.response.time_to_first_chunk") // seconds
	tokensIn         = attribute.Key("gen_ai.usage.input_tokens")
	tokensOut        = attribute.Key("gen_ai.usage.output_tokens")
	tokensCached     = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	tokensWritten    = attribute.Key("gen_ai.usage.cache_creation.input_tokens")
	tokensThought    = attribute.Key("gen_ai.usage.reasoning.output_tokens")
	tokenType        = attribute.Key("gen_ai.token.type") // input, output
	errorType        = attribute.Key("error.type")
	serverAddress    = attribute.Key("server.address")
	serverPort       = attribute.Key("server.port")
	responseStatus   = attribute.Key("http.response.status_code")
	cloudRegion      = attribute.Key("cloud.region")
	serviceName      = attribute.Key("service.name")
	serviceVersion   = attribute.Key("service.version")
	serviceInstance  = attribute.Key("service.instance.id")
)

// The attributes of our own.
const (
	ownDecision = attribute.Key("decouple.decision") // what `decouple explain` takes
	ownDoor     = attribute.Key("decouple.door")
	ownTenant   = attribute.Key("decouple.tenant")
	ownKey      = attribute.Key("decouple.key") // the id of the key, never the key
	ownTeam     = attribute.Key("decouple.team")
	ownClass    = attribute.Key("decouple.class")
	ownCache    = attribute.Key("decouple.cache") // hit, shared
	ownCost     = attribute.Key("decouple.cost_usd")
	ownEndpoint = attribute.Key("decouple.endpoint")
	ownAttempt  = attribute.Key("decouple.attempt") // from 1
	ownOutcome  = attribute.Key("decouple.outcome")
)

// The metrics of the conventions, and the bounds of their buckets.
const (
	operationDuration = "gen_ai.client.operation.duration"
	tokenUsage        = "gen_ai.client.token.usage"
	timeToFirstToken  = "gen_ai.server.time_to_first_token"
)

var (
	durationBounds = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	tokenBounds    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	firstBounds    = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
)

// The values of gen_ai.operation.name and gen_ai.token.type.
const (
	opChat       = "chat"
	opEmbeddings = "embeddings"
	typeInput    = "input"
	typeOutput   = "output"
)

// ourselves answers from the cache, and refuses.
const ourselves = "decouple"

// providers are the conventions' words for those whom the catalog calls otherwise.
var providers = map[string]string{
	"azure": "azure.ai.openai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini", "vertex": "gcp.vertex_ai", "mistral": "mistral_ai", "xai": "x_ai",
}

// providerOf is the value of gen_ai.provider.name.
func providerOf(p string) string {
	if name := providers[p]; name != "" {
		return name
	}
	return p
}
