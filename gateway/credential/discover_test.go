package credential_test

import (
	"fmt"
	"strings"
	"testing"

	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/credential"
)

func discover(env map[string]string) ([]credential.Account, []credential.Problem) {
	return credential.Discover(func(name string) string { return env[name] })
}

// found is what an environment leads to.
type found struct {
	env       map[string]string
	method    credential.Method
	endpoint  string // one of those that it gives
	whole     string // where a call goes
	streamed  string
	endpoints int // 0: not counted
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	cat, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]found{
		"openai":       {map[string]string{"OPENAI_API_KEY": "k1"}, credential.Bearer, "openai/us/gpt-5.4", "https://api.openai.com/v1/chat/completions", "", 0},
		"openai eu":    {map[string]string{"OPENAI_API_KEY": "k1", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"}, credential.Bearer, "openai/eu/gpt-5.4", "https://eu.api.openai.com/v1/chat/completions", "", 0},
		"compatible":   {map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1", "OPENAI_MODEL": "qwen3, gpt-oss-120b=oss"}, credential.None, "openai/gpt-oss-120b", "http://127.0.0.1:8000/v1/chat/completions", "", 2},
		"nothing said": {map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, credential.None, "", "", "", 0},
		"azure v1":     {map[string]string{"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/", "AZURE_OPENAI_API_KEY": "k1"}, credential.APIKey, "azure/gpt-5.4", "https://acme.openai.azure.com/openai/v1/chat/completions", "", 0},
		"azure dated": {map[string]string{"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "AZURE_OPENAI_API_KEY": "k1", "AZURE_OPENAI_API_VERSION": "2024-10-21", "AZURE_OPENAI_DEPLOYMENT": "gpt-5.4=ours,gpt-5-mini", "AZURE_OPENAI_REGION": "swedencentral"}, credential.APIKey,
			"azure/swedencentral/gpt-5.4", "https://acme.openai.azure.com/openai/deployments/ours/chat/completions?api-version=2024-10-21", "", 2},
		"azure entra":    {map[string]string{"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s1"}, credential.Entra, "azure/gpt-5", "https://acme.openai.azure.com/openai/v1/chat/completions", "", 0},
		"anthropic":      {map[string]string{"ANTHROPIC_API_KEY": "k1"}, credential.XAPIKey, "anthropic/global/sonnet-4.6", "https://api.anthropic.com/v1/messages", "", 0},
		"anthropic else": {map[string]string{"ANTHROPIC_API_KEY": "k1", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1/proxy"}, credential.XAPIKey, "anthropic/global/sonnet-4.6", "http://127.0.0.1:1/proxy/v1/messages", "", 0},
		"bedrock": {map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "k1", "AWS_REGION": "eu-central-1"}, credential.SigV4, "bedrock/eu-central-1/haiku-4.5",
			"https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse", "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream", 0},
		"bedrock bearer": {map[string]string{"AWS_BEARER_TOKEN_BEDROCK": "k1", "AWS_DEFAULT_REGION": "us-east-2"}, credential.Bearer, "bedrock/us-east-2/gpt-5.4", "https://bedrock-mantle.us-east-2.api.aws/v1/chat/completions", "", 0},
		"bedrock role":   {map[string]string{"AWS_PROFILE": "work", "AWS_REGION": "ap-southeast-2"}, credential.SigV4, "bedrock/ap-southeast-2/sonnet-4.6", "https://bedrock-runtime.ap-southeast-2.amazonaws.com/model/au.anthropic.claude-sonnet-4-6/converse", "", 0},
		"gemini": {map[string]string{"GEMINI_API_KEY": "k1"}, credential.XGoogKey, "gemini/gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
			"https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", 0},
		"google key": {map[string]string{"GOOGLE_API_KEY": "k1"}, credential.XGoogKey, "gemini/gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent", "", 0},
		"vertex": {map[string]string{"GOOGLE_CLOUD_PROJECT": "acme-1", "GOOGLE_CLOUD_LOCATION": "europe-west4", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}, credential.GoogleAuth, "vertex/europe-west4/gemini-2.5-flash",
			"https://europe-west4-aiplatform.googleapis.com/v1/projects/acme-1/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent",
			"https://europe-west4-aiplatform.googleapis.com/v1/projects/acme-1/locations/europe-west4/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse", 0},
		"vertex global": {map[string]string{"GOOGLE_CLOUD_PROJECT": "acme-1"}, credential.GoogleAuth, "vertex/global/gemini-2.5-pro",
			"https://aiplatform.googleapis.com/v1/projects/acme-1/locations/global/publishers/google/models/gemini-2.5-pro:generateContent", "", 0},
		"cerebras":      {map[string]string{"CEREBRAS_API_KEY": "k1"}, credential.Bearer, "cerebras/gpt-oss-120b", "https://api.cerebras.ai/v1/chat/completions", "", 1},
		"cerebras sim":  {map[string]string{"CEREBRAS_API_KEY": "k1", "CEREBRAS_BASE_URL": "http://127.0.0.1:7408/"}, credential.Bearer, "cerebras/gpt-oss-120b", "http://127.0.0.1:7408/v1/chat/completions", "", 1},
		"groq sim":      {map[string]string{"GROQ_API_KEY": "k1", "GROQ_BASE_URL": "http://127.0.0.1:7409"}, credential.Bearer, "groq/gpt-oss-120b", "http://127.0.0.1:7409/openai/v1/chat/completions", "", 0},
		"groq":          {map[string]string{"GROQ_API_KEY": "k1"}, credential.Bearer, "groq/gpt-oss-120b", "https://api.groq.com/openai/v1/chat/completions", "", 0},
		"ollama":        {map[string]string{"OLLAMA_HOST": "0.0.0.0", "OLLAMA_MODEL": "llama3.3:70b"}, credential.None, "ollama/llama-3.3-70b", "http://127.0.0.1:11434/v1/chat/completions", "", 1},
		"ollama by url": {map[string]string{"OLLAMA_HOST": "https://box.example.com/", "OLLAMA_MODEL": "own"}, credential.None, "ollama/own", "https://box.example.com:443/v1/chat/completions", "", 1},
		"vllm":          {map[string]string{"VLLM_BASE_URL": "http://127.0.0.1:8000/v1", "VLLM_API_KEY": "k1", "VLLM_MODEL": "gpt-oss-120b"}, credential.Bearer, "vllm/gpt-oss-120b", "http://127.0.0.1:8000/v1/chat/completions", "", 1},
	} {
		accounts, problems := discover(x.env)
		if len(accounts) != 1 || len(problems) != 0 {
			t.Errorf("%s: %v, %v", name, accounts, problems)
			continue
		}
		if a := accounts[0]; a.Auth.Method != x.method || a.From == "" {
			t.Errorf("%s: %v", name, a)
		}
		list := credential.Endpoints(cat, accounts)
		if x.endpoints > 0 && len(list) != x.endpoints {
			t.Errorf("%s: %d endpoints", name, len(list))
		}
		if x.endpoint == "" {
			continue
		}
		found := false
		for _, e := range list {
			if string(e.ID) != x.endpoint {
				continue
			}
			found = true
			if got := catalog.CallURL(e, false); got != x.whole {
				t.Errorf("%s: %s\n   want %s", name, got, x.whole)
			}
			if got := catalog.CallURL(e, true); x.streamed != "" && got != x.streamed {
				t.Errorf("%s, streamed: %s\n   want %s", name, got, x.streamed)
			}
			if got := catalog.CallPath(e, false); !strings.HasSuffix(x.whole, got) || got[0] != '/' {
				t.Errorf("%s: the path %s", name, got)
			}
		}
		if !found {
			t.Errorf("%s: no endpoint %s among %v", name, x.endpoint, list)
		}
		if _, err := cat.WithEndpoints(list); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		env      map[string]string
		variable string
	}{
		{map[string]string{"OPENAI_API_KEY": canary + "\n" + canary}, "OPENAI_API_KEY"},
		{map[string]string{"OPENAI_API_KEY": canary, "OPENAI_BASE_URL": "https://user:" + "pass@host/v1"}, "OPENAI_BASE_URL"},
		{map[string]string{"OPENAI_BASE_URL": "https://api.openai.com/v1"}, "OPENAI_API_KEY"},
		{map[string]string{"AZURE_OPENAI_API_KEY": canary}, "AZURE_OPENAI_ENDPOINT"},
		{map[string]string{"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}, "AZURE_OPENAI_ENDPOINT"},
		{map[string]string{"AZURE_OPENAI_ENDPOINT": "x.openai.azure.com", "AZURE_OPENAI_API_KEY": canary}, "AZURE_OPENAI_ENDPOINT"},
		{map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_REGION": "us-east-1"}, "AWS_ACCESS_KEY_ID"},
		{map[string]string{"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "k1"}, "AWS_REGION"},
		{map[string]string{"AWS_BEARER_TOKEN_BEDROCK": canary}, "AWS_REGION"},
		{map[string]string{"GOOGLE_CLOUD_PROJECT": "../x"}, "GOOGLE_CLOUD_PROJECT"},
		{map[string]string{"OLLAMA_HOST": "http://a:b@c"}, "OLLAMA_HOST"},
		{map[string]string{"VLLM_BASE_URL": "127.0.0.1:8000"}, "VLLM_BASE_URL"},
	} {
		accounts, problems := discover(x.env)
		if len(accounts) != 0 || len(problems) != 1 || problems[0].Variable != x.variable || strings.Contains(fmt.Sprint(problems), "canary") {
			t.Errorf("%v: %v, %+v", x.variable, accounts, problems)
		}
	}
	accounts, problems := discover(map[string]string{"VLLM_BASE_URL": "http://127.0.0.1:1", "VLLM_MODEL": "a=b c,d"})
	if len(accounts) != 1 || len(accounts[0].Models) != 1 || len(problems) != 1 || problems[0].Variable != "VLLM_MODEL" {
		t.Errorf("a name with white space: %v, %+v", accounts, problems)
	}
	if accounts, problems := discover(nil); len(accounts)+len(problems) != 0 {
		t.Error("an empty environment has no account, and that is no problem")
	}
}
