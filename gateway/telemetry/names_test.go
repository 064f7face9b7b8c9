package telemetry

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
)

// TestNames compares the table with the conventions of its version, as their own library has them.
func TestNames(t *testing.T) {
	t.Parallel()
	if schemaURL != semconv.SchemaURL {
		t.Errorf("%s is not %s", schemaURL, semconv.SchemaURL)
	}
	for ours, theirs := range map[attribute.Key]attribute.Key{
		operationName: semconv.GenAIOperationNameKey, providerName: semconv.GenAIProviderNameKey, agentName: semconv.GenAIAgentNameKey, requestModel: semconv.GenAIRequestModelKey,
		requestStream: semconv.GenAIRequestStreamKey, responseModel: semconv.GenAIResponseModelKey, finishReasons: semconv.GenAIResponseFinishReasonsKey,
		timeToFirstChunk: semconv.GenAIResponseTimeToFirstChunkKey, tokensIn: semconv.GenAIUsageInputTokensKey, tokensOut: semconv.GenAIUsageOutputTokensKey,
		tokensCached: semconv.GenAIUsageCacheReadInputTokensKey, tokensWritten: semconv.GenAIUsageCacheCreationInputTokensKey, tokensThought: semconv.GenAIUsageReasoningOutputTokensKey,
		tokenType: semconv.GenAITokenTypeKey, errorType: semconv.ErrorTypeKey, serverAddress: semconv.ServerAddressKey, serverPort: semconv.ServerPortKey,
		responseStatus: semconv.HTTPResponseStatusCodeKey, cloudRegion: semconv.CloudRegionKey, serviceName: semconv.ServiceNameKey, serviceVersion: semconv.ServiceVersionKey,
		serviceInstance: semconv.ServiceInstanceIDKey,
	} {
		if ours != theirs {
			t.Errorf("%s is %s in the conventions", ours, theirs)
		}
	}
	for ours, theirs := range map[string]attribute.KeyValue{
		opChat: semconv.GenAIOperationNameChat, opEmbeddings: semconv.GenAIOperationNameEmbeddings, typeInput: semconv.GenAITokenTypeInput, typeOutput: semconv.GenAITokenTypeOutput,
		providerOf("openai"): semconv.GenAIProviderNameOpenAI, providerOf("azure"): semconv.GenAIProviderNameAzureAIOpenAI, providerOf("bedrock"): semconv.GenAIProviderNameAWSBedrock,
		providerOf("anthropic"): semconv.GenAIProviderNameAnthropic, providerOf("gemini"): semconv.GenAIProviderNameGCPGemini, providerOf("vertex"): semconv.GenAIProviderNameGCPVertexAI,
		providerOf("groq"): semconv.GenAIProviderNameGroq, providerOf("deepseek"): semconv.GenAIProviderNameDeepseek, providerOf("mistral"): semconv.GenAIProviderNameMistralAI,
		providerOf("xai"): semconv.GenAIProviderNameXAI,
	} {
		if ours != theirs.Value.AsString() {
			t.Errorf("%s is %s in the conventions", ours, theirs.Value.AsString())
		}
	}
	if (genaiconv.ClientOperationDuration{}).Name() != operationDuration || (genaiconv.ClientTokenUsage{}).Name() != tokenUsage || (genaiconv.ServerTimeToFirstToken{}).Name() != timeToFirstToken {
		t.Error("the metrics have other names in the conventions")
	}
}
