package credential

import (
	"net"
	"net/url"
	"strings"

	"decouple.dev/decouple/catalog"
)

// Problem is something in the environment that looks like an account and cannot be one.
type Problem struct {
	Variable string
	Text     string // what is wrong, and what to do
}

// finder collects accounts.
type finder struct {
	env      func(string) string
	accounts []Account
	problems []Problem
}

// Discover finds accounts in the environment, without any configuration, under the names that the providers' own SDKs read. It asks nothing over the network and reads no file.
func Discover(env func(string) string) ([]Account, []Problem) {
	f := &finder{env: func(name string) string { return strings.TrimSpace(env(name)) }}
	f.openai()
	f.azure()
	f.anthropic()
	f.bedrock()
	f.gemini()
	f.vertex()
	for _, p := range []struct{ provider, name, path string }{{"cerebras", "CEREBRAS", "/v1"}, {"groq", "GROQ", "/openai/v1"}, {"deepseek", "DEEPSEEK", ""}} {
		base, ok := f.base(p.name + "_BASE_URL") // as their own SDKs read it: without the path of the interface
		if key, has := f.key(p.name + "_API_KEY"); ok && has {
			if base != "" {
				base = strings.TrimSuffix(base, p.path) + p.path
			}
			f.add(Account{Name: p.provider, Provider: p.provider, URL: base, Auth: Auth{Method: Bearer, Key: key}, From: p.name + "_API_KEY"})
		}
	}
	f.ollama()
	f.vllm()
	return f.accounts, f.problems
}

func (f *finder) add(a Account) { f.accounts = append(f.accounts, a) }

func (f *finder) problem(variable, text string) {
	f.problems = append(f.problems, Problem{variable, text})
}

// key reads a key that is set, and says what is wrong with one that cannot be.
func (f *finder) key(name string) (Secret, bool) {
	v := f.env(name)
	if v == "" {
		return Secret{}, false
	}
	s, err := checked(name, v)
	if err != nil {
		f.problem(name, err.Error())
		return Secret{}, false
	}
	return s, true
}

// base reads the URL of an interface; an empty one is the provider's own.
func (f *finder) base(name string) (string, bool) {
	v := f.env(name)
	if v == "" {
		return "", true
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		f.problem(name, name+" must look like https://host/v1, without user, password or fragment")
		return "", false
	}
	return strings.TrimRight(v, "/"), true
}

// models reads a list such as gpt-5.4=our-deployment,gpt-5-mini.
func (f *finder) models(name string) map[catalog.ModelID]string {
	var out map[catalog.ModelID]string
	for item := range strings.SplitSeq(f.env(name), ",") {
		id, own, _ := strings.Cut(strings.TrimSpace(item), "=")
		if id == "" {
			continue
		}
		if strings.ContainsFunc(id+own, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			f.problem(name, name+" must be a list such as gpt-5.4=my-deployment,gpt-5-mini: one of its names holds white space and is left out")
			continue
		}
		if out == nil {
			out = map[catalog.ModelID]string{}
		}
		out[catalog.ModelID(id)] = own
	}
	return out
}

func (f *finder) openai() {
	base, ok := f.base("OPENAI_BASE_URL")
	if !ok {
		return
	}
	key, has := f.key("OPENAI_API_KEY")
	a := Account{Name: "openai", Provider: "openai", URL: base, Models: f.models("OPENAI_MODEL"), From: "OPENAI_API_KEY", Auth: Auth{Method: Bearer, Key: key}}
	switch host := hostOf(base); {
	case base == "" || host == "api.openai.com" || host == "us.api.openai.com":
		if !has {
			if base != "" {
				f.problem("OPENAI_API_KEY", "OPENAI_BASE_URL leads to OpenAI, which asks for OPENAI_API_KEY")
			}
			return
		}
	case host == "eu.api.openai.com":
		a.Regions = []string{"eu"}
	default: // another server in OpenAI's manner
		a.Provider = "compatible"
		if !has {
			a.Auth, a.From = Auth{}, "OPENAI_BASE_URL"
		}
	}
	f.add(a)
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// azure takes both interfaces: the newer one without a version, and the older one where AZURE_OPENAI_API_VERSION names a date.
func (f *finder) azure() {
	base, ok := f.base("AZURE_OPENAI_ENDPOINT")
	key, has := f.key("AZURE_OPENAI_API_KEY")
	if !ok {
		return
	}
	if base == "" {
		if has {
			f.problem("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY is set without AZURE_OPENAI_ENDPOINT: set it to https://NAME.openai.azure.com")
		}
		return
	}
	if v := f.env("AZURE_OPENAI_API_VERSION"); v != "" && v != "v1" && v != "latest" {
		base += "?api-version=" + url.QueryEscape(v)
	}
	a := Account{Name: "azure", Provider: "azure", URL: base, Models: f.models("AZURE_OPENAI_DEPLOYMENT"), Regions: f.list("AZURE_OPENAI_REGION"), From: "AZURE_OPENAI_API_KEY"}
	if has {
		a.Auth = Auth{Method: APIKey, Key: key}
		f.add(a)
		return
	}
	app := EntraApp{
		Tenant: f.env("AZURE_TENANT_ID"), ClientID: f.env("AZURE_CLIENT_ID"), TokenFile: f.env("AZURE_FEDERATED_TOKEN_FILE"), Authority: f.env("AZURE_AUTHORITY_HOST"),
	}
	app.Secret, _ = f.key("AZURE_CLIENT_SECRET")
	machine := f.env("IDENTITY_ENDPOINT") != "" || f.env("MSI_ENDPOINT") != "" || app.Tenant == "" && app.ClientID != ""
	switch {
	case app.Tenant != "" && app.ClientID != "" && (!app.Secret.Empty() || app.TokenFile != ""):
		a.From = "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE"
	case machine:
		a.From = "the managed identity of this machine"
	default:
		f.problem("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_ENDPOINT needs AZURE_OPENAI_API_KEY, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
		return
	}
	a.Auth = Auth{Method: Entra, Entra: app}
	f.add(a)
}

func (f *finder) list(name string) []string {
	var out []string
	for item := range strings.SplitSeq(f.env(name), ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func (f *finder) anthropic() {
	base, ok := f.base("ANTHROPIC_BASE_URL")
	if key, has := f.key("ANTHROPIC_API_KEY"); ok && has {
		f.add(Account{Name: "anthropic", Provider: "anthropic", URL: base, Auth: Auth{Method: XAPIKey, Key: key}, From: "ANTHROPIC_API_KEY"})
	}
}

func (f *finder) bedrock() {
	a := Account{Name: "bedrock", Provider: "bedrock", Regions: f.list("AWS_REGION")}
	if len(a.Regions) == 0 {
		a.Regions = f.list("AWS_DEFAULT_REGION")
	}
	base, ok := f.base("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
	if !ok {
		return
	}
	a.URL = base
	id := f.env("AWS_ACCESS_KEY_ID")
	bearerKey, hasBearer := f.key("AWS_BEARER_TOKEN_BEDROCK")
	secret, hasSecret := f.key("AWS_SECRET_ACCESS_KEY")
	switch {
	case hasBearer:
		a.Auth, a.From = Auth{Method: Bearer, Key: bearerKey}, "AWS_BEARER_TOKEN_BEDROCK"
	case id != "" && hasSecret:
		session, _ := f.key("AWS_SESSION_TOKEN")
		a.Auth, a.From = Auth{Method: SigV4, AWS: AWS{KeyID: id, SecretKey: secret, Session: session}}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	case id != "" || hasSecret:
		f.problem("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: one of them is not set")
		return
	default:
		for _, name := range []string{"AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
			if f.env(name) != "" {
				a.Auth, a.From = Auth{Method: SigV4, AWS: AWS{Profile: f.env("AWS_PROFILE")}}, name
				break
			}
		}
	}
	if a.From == "" {
		return
	}
	if len(a.Regions) == 0 {
		f.problem("AWS_REGION", a.From+" gives access to Amazon Bedrock: set AWS_REGION to say where")
		return
	}
	a.Auth.AWS.Region = a.Regions[0]
	f.add(a)
}

func (f *finder) gemini() {
	base, ok := f.base("GOOGLE_GEMINI_BASE_URL")
	if !ok {
		return
	}
	for _, name := range []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"} {
		if key, has := f.key(name); has {
			f.add(Account{Name: "gemini", Provider: "gemini", URL: base, Auth: Auth{Method: XGoogKey, Key: key}, From: name})
			return
		}
	}
}

// vertex takes a project; the credentials are a named file, those of gcloud, or the machine's.
func (f *finder) vertex() {
	project := f.env("GOOGLE_CLOUD_PROJECT")
	base, ok := f.base("GOOGLE_VERTEX_BASE_URL")
	if project == "" || !ok {
		return
	}
	if strings.ContainsFunc(project, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}) {
		f.problem("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT is no id of a project")
		return
	}
	a := Account{Name: "vertex", Provider: "vertex", Project: project, Regions: f.list("GOOGLE_CLOUD_LOCATION")}
	if base != "" {
		a.URL = base + "/v1/projects/{project}/locations/{region}"
	}
	if named := f.env("GOOGLE_APPLICATION_CREDENTIALS"); named != "" {
		a.Auth, a.From = Auth{Method: GoogleAuth, Google: GoogleApp{File: named}}, "GOOGLE_APPLICATION_CREDENTIALS"
	} else {
		a.Auth, a.From = Auth{Method: GoogleAuth}, "the credentials of gcloud (gcloud auth application-default login), or of this machine"
		if home := f.env("HOME"); home != "" {
			a.Auth.Google = GoogleApp{File: home + "/.config/gcloud/application_default_credentials.json", Optional: true}
		}
	}
	f.add(a)
}

// ollama reads OLLAMA_HOST as Ollama does: a host, a host and port, or a URL.
func (f *finder) ollama() {
	v := f.env("OLLAMA_HOST")
	if v == "" {
		return
	}
	if !strings.Contains(v, "://") {
		v = "http://" + v
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.ContainsAny(u.Host, " \x00") {
		f.problem("OLLAMA_HOST", "OLLAMA_HOST must look like 127.0.0.1:11434")
		return
	}
	host, port := u.Hostname(), u.Port()
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1" // where it listens is not where it is called
	}
	if port == "" {
		port = map[string]string{"http": "11434", "https": "443"}[u.Scheme]
	}
	path := strings.TrimRight(u.Path, "/")
	if path == "" {
		path = "/v1"
	}
	f.add(Account{Name: "ollama", Provider: "compatible", URL: u.Scheme + "://" + net.JoinHostPort(host, port) + path, Models: f.models("OLLAMA_MODEL"), From: "OLLAMA_HOST"})
}

func (f *finder) vllm() {
	base, ok := f.base("VLLM_BASE_URL")
	if base == "" || !ok {
		return
	}
	a := Account{Name: "vllm", Provider: "compatible", URL: base, Models: f.models("VLLM_MODEL"), From: "VLLM_BASE_URL"}
	if key, has := f.key("VLLM_API_KEY"); has {
		a.Auth = Auth{Method: Bearer, Key: key}
	}
	f.add(a)
}
