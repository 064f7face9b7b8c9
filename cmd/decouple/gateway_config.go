package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/gateway/credential"
)

// gatewayFile is what the config file says of the gateway.
type gatewayFile struct {
	path     string
	accounts []credential.Account
	discover bool // accounts of the environment, beside those of the file
	overlay  catalog.Overlay
	config   gateway.Config
}

// offers is a catalog with the endpoints of accounts, and with what the file says of it.
func (f gatewayFile) offers(cat *catalog.Catalog, accounts []credential.Account) (*catalog.Catalog, error) {
	cat, err := cat.WithEndpoints(credential.Endpoints(cat, accounts))
	if err != nil {
		return nil, err
	}
	if cat, err = cat.With(f.overlay); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "%s: gateway: catalog: %w", f.path, err)
	}
	return cat, nil
}

// accountNode is an account in the config file.
type accountNode struct {
	Name     string            `yaml:"name"`
	Provider string            `yaml:"provider"`
	URL      string            `yaml:"url"`
	Project  string            `yaml:"project"`
	Regions  []string          `yaml:"regions"`
	Auth     string            `yaml:"auth"`
	Key      string            `yaml:"key"`
	KeyID    string            `yaml:"access_key_id"`
	Secret   string            `yaml:"secret"`
	Tenant   string            `yaml:"tenant"`
	Client   string            `yaml:"client_id"`
	File     string            `yaml:"file"`
	Models   map[string]string `yaml:"models"`
	Tier     string            `yaml:"tier"`
	Global   bool              `yaml:"global"`
	Labels   []string          `yaml:"labels"`
	Private  bool              `yaml:"private"`
}

// patienceNode is how long calls may take, in the config file.
type patienceNode struct {
	Connect       time.Duration `yaml:"connect"`
	FirstToken    time.Duration `yaml:"first_token"`
	BetweenTokens time.Duration `yaml:"between_tokens"`
	Whole         time.Duration `yaml:"whole"`
	Call          time.Duration `yaml:"call"`
	Wait          time.Duration `yaml:"wait"`
}

// gatewayKeys are the keys below gateway.
const gatewayKeys = "accounts, discover, catalog, patience"

// gatewaySettings reads what the config file says below gateway. Everything that is wrong with it is an error with its line.
func (a *app) gatewaySettings() (gatewayFile, error) {
	f := gatewayFile{discover: true}
	path, _ := a.configPath()
	if _, err := a.settings(); err != nil || a.gateway == nil { // reads the file
		return f, err
	}
	f.path = path
	n := a.gateway
	wrong := func(n *yaml.Node, format string, args ...any) error {
		return decouple.Errorf(decouple.Invalid, "%s:%d: gateway: %s", path, n.Line, fmt.Sprintf(format, args...))
	}
	if n.Kind != yaml.MappingNode {
		return f, wrong(n, "here belong the keys %s", gatewayKeys)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		var err error
		switch key.Value {
		case "accounts":
			if v.Kind != yaml.SequenceNode {
				return f, wrong(v, "accounts is a list")
			}
			for _, item := range v.Content {
				acc, err := a.accountOf(item)
				if err != nil {
					return f, wrong(item, "accounts: %v", err)
				}
				f.accounts = append(f.accounts, acc)
			}
		case "discover":
			err = v.Decode(&f.discover)
		case "catalog":
			f.overlay, err = catalog.ReadOverlay(v)
		case "patience":
			var p patienceNode
			err = strict(v, &p)
			f.config.Patience = gateway.Patience{Connect: p.Connect, FirstToken: p.FirstToken, BetweenTokens: p.BetweenTokens, Whole: p.Whole, Call: p.Call}
			f.config.MaxWait = p.Wait
		default:
			return f, wrong(key, "there is no key %s: there are %s", key.Value, gatewayKeys)
		}
		if err != nil {
			return f, wrong(v, "%s: %v", key.Value, err)
		}
	}
	return f, nil
}

// strict decodes a node and refuses keys that nobody reads.
func strict[T any](n *yaml.Node, into *T) error {
	b, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	d.KnownFields(true)
	return d.Decode(into)
}

// accountOf reads an account. Its secrets are references: env:NAME or file:PATH.
func (a *app) accountOf(n *yaml.Node) (credential.Account, error) {
	var in accountNode
	if err := strict(n, &in); err != nil {
		return credential.Account{}, err
	}
	if in.Provider == "" {
		return credential.Account{}, fmt.Errorf("an account needs its provider: openai, azure, bedrock, anthropic, gemini, vertex, cerebras, groq or compatible")
	}
	if in.Name == "" {
		in.Name = in.Provider
	}
	acc := credential.Account{Name: in.Name, Provider: in.Provider, URL: in.URL, Project: in.Project, Regions: in.Regions, Tier: in.Tier, Global: in.Global, Labels: in.Labels, Private: in.Private, From: cmp.Or(in.Key, in.Secret)}
	if len(in.Models) > 0 {
		acc.Models = map[catalog.ModelID]string{}
		for id, own := range in.Models {
			acc.Models[catalog.ModelID(id)] = own
		}
	}
	key, err := a.reference(in.Key)
	if err != nil {
		return acc, fmt.Errorf("key: %w", err)
	}
	second, err := a.reference(in.Secret)
	if err != nil {
		return acc, fmt.Errorf("secret: %w", err)
	}
	acc.Auth = credential.Auth{Method: methodOf(in, key), Key: credential.NewSecret(key)}
	switch acc.Auth.Method {
	case credential.SigV4:
		acc.Auth.AWS = credential.AWS{KeyID: in.KeyID, SecretKey: credential.NewSecret(second)}
		if len(in.Regions) > 0 {
			acc.Auth.AWS.Region = in.Regions[0]
		}
	case credential.Entra:
		acc.Auth.Entra = credential.EntraApp{Tenant: in.Tenant, ClientID: in.Client, Secret: credential.NewSecret(second), TokenFile: in.File}
	case credential.GoogleAuth:
		acc.Auth.Google = credential.GoogleApp{File: in.File}
	}
	return acc, nil
}

// methodOf is how an account proves who it is: as it says, or as its provider usually has it.
func methodOf(in accountNode, key string) credential.Method {
	switch {
	case in.Auth != "":
		return credential.Method(in.Auth)
	case key == "" && in.Provider == "bedrock":
		return credential.SigV4
	case key == "" && in.Provider == "vertex":
		return credential.GoogleAuth
	case key == "" && in.Provider == "azure":
		return credential.Entra
	case key == "":
		return credential.None
	case in.Provider == "anthropic":
		return credential.XAPIKey
	case in.Provider == "azure":
		return credential.APIKey
	case in.Provider == "gemini":
		return credential.XGoogKey
	}
	return credential.Bearer
}

// reference resolves a secret: env:NAME or file:PATH. A secret that stands in the file itself is refused.
func (a *app) reference(v string) (string, error) {
	switch name, env := strings.CutPrefix(v, "env:"); {
	case v == "":
		return "", nil
	case env:
		if got := a.env(name); got != "" {
			return got, nil
		}
		return "", fmt.Errorf("the variable %s is not set", name)
	}
	path, ok := strings.CutPrefix(v, "file:")
	if !ok {
		return "", fmt.Errorf("a secret does not belong in this file: write env:NAME or file:PATH, where it is")
	}
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
