package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
)

// configFile is the name of the config file in the user's folder of configuration.
const configFile = "decouple.yaml"

// Keys of the file are names of flags with _ for -: those that all commands share at the top, those of serve below serve.
var (
	sharedKeys = []string{"data", "store", "server", "key_file", "contracts"}
	serveKeys  = []string{"listen", "tls_cert", "tls_key", "node", "site", "workers", "lease", "agents", "allow_host", "allow_private", "http_timeout", "model", "model_url", "price_in", "price_out"}
)

// setting is a value of the file.
type setting struct {
	key    string // "store", "serve.listen"
	values []string
	line   int
}

// configPath is where the file is: what was named must be there, the usual place may be empty.
func (a *app) configPath() (path string, named bool) {
	if a.config != "" {
		return a.config, true
	}
	if p := a.env("DECOUPLE_CONFIG"); p != "" {
		return p, true
	}
	for _, place := range []struct{ base, below string }{{a.env("XDG_CONFIG_HOME"), "decouple"}, {a.env("HOME"), ".config/decouple"}} {
		if place.base != "" {
			return filepath.Join(place.base, place.below, configFile), false
		}
	}
	return "", false
}

// settings reads the config file. Everything that is wrong with it is an error with its line.
func (a *app) settings() ([]setting, error) {
	path, named := a.configPath()
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, decouple.Errorf(decouple.NotFound, "the config file cannot be read: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil // empty
	}
	a.gateway = nil
	for i, key := range doc.Content[0].Content {
		if i%2 == 0 && key.Value == "gateway" && i+1 < len(doc.Content[0].Content) {
			a.gateway = doc.Content[0].Content[i+1]
		}
	}
	list, err := readSettings(doc.Content[0], "", slices.Concat(sharedKeys, []string{"serve", "gateway"}))
	if err != nil {
		return nil, decouple.Errorf(decouple.Invalid, "%s:%w", path, err)
	}
	return list, nil
}

// readSettings reads a mapping. The errors begin with the line.
func readSettings(n *yaml.Node, prefix string, known []string) ([]setting, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%d: here belong keys and values, such as store: env:DATABASE_URL", n.Line)
	}
	var out []setting
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		switch {
		case !slices.Contains(known, key.Value):
			return nil, fmt.Errorf("%d: there is no key %s%s: there are %s", key.Line, prefix, key.Value, strings.Join(known, ", "))
		case seen[key.Value]:
			return nil, fmt.Errorf("%d: the key %s%s is there twice", key.Line, prefix, key.Value)
		}
		seen[key.Value] = true
		s := setting{key: prefix + key.Value, line: key.Line}
		switch {
		case prefix == "" && key.Value == "gateway":
			continue // gatewaySettings reads it
		case prefix == "" && key.Value == "serve":
			below, err := readSettings(v, "serve.", serveKeys)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
			continue
		case v.Kind == yaml.ScalarNode:
			s.values = []string{v.Value}
		case v.Kind == yaml.SequenceNode:
			for _, item := range v.Content {
				if item.Kind != yaml.ScalarNode {
					return nil, fmt.Errorf("%d: %s must be a list of texts", item.Line, s.key)
				}
				s.values = append(s.values, item.Value)
			}
		default:
			return nil, fmt.Errorf("%d: %s must be a value or a list", v.Line, s.key)
		}
		out = append(out, s)
	}
	return out, nil
}

// configured is what the config file has for a key.
func (a *app) configured(key string) ([]string, error) {
	list, err := a.settings()
	for _, s := range list {
		if s.key == key {
			return s.values, err
		}
	}
	return nil, err
}

// configure sets the flags of a command that were not given from the config file. The environment goes before the file.
func (a *app) configure(c *cobra.Command) error {
	list, err := a.settings()
	if err != nil {
		return err
	}
	path, _ := a.configPath()
	for _, s := range list {
		name, ofServe := strings.CutPrefix(s.key, "serve.")
		if ofServe && c.Name() != "serve" {
			continue
		}
		flag := c.Flags().Lookup(strings.ReplaceAll(name, "_", "-"))
		if flag == nil || flag.Changed || !ofServe && a.elsewhere(name) {
			continue
		}
		if s.key == "contracts" {
			a.contracts = s.values // the flag stays as it is: `decouple explain` takes one that was given for a draft
			continue
		}
		if err := a.assign(c.Flags(), flag.Name, s); err != nil {
			return decouple.Errorf(decouple.Invalid, "%s:%d: %s: %w", path, s.line, s.key, err)
		}
	}
	return nil
}

// elsewhere says whether a shared setting is given by the environment, or whether another one that excludes it is given on the command line.
func (a *app) elsewhere(name string) bool {
	if name != "key_file" && a.env("DECOUPLE_"+strings.ToUpper(name)) != "" || name == "key_file" && a.env("DECOUPLE_KEY") != "" {
		return true
	}
	if name == "server" {
		return a.folder != "" || a.storeURL != "" || a.env("DECOUPLE_DATA") != "" || a.env("DECOUPLE_STORE") != ""
	}
	return (name == "data" || name == "store") && (a.server != "" || a.env("DECOUPLE_SERVER") != "")
}

// assign sets a flag from the file.
func (a *app) assign(flags *pflag.FlagSet, name string, s setting) error {
	for _, v := range s.values {
		if s.key == "store" {
			var err error
			if v, err = a.secret(v); err != nil {
				return err
			}
		}
		if err := flags.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

// secret resolves a reference to a secret: env:NAME or file:PATH. An address may stand in the file itself as long as it holds no password.
func (a *app) secret(v string) (string, error) {
	if name, ok := strings.CutPrefix(v, "env:"); ok {
		if v = a.env(name); v == "" {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		return v, nil
	}
	if path, ok := strings.CutPrefix(v, "file:"); ok {
		b, err := os.ReadFile(path)
		return strings.TrimSpace(string(b)), err
	}
	u, err := url.Parse(v)
	if err != nil {
		return "", errors.New("it is no address such as postgres://user@host/database")
	}
	if _, set := u.User.Password(); set {
		return "", errors.New("a password does not belong in this file: write env:NAME or file:PATH, where the address is")
	}
	return v, nil
}

// newConfig makes `decouple config`.
func newConfig(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "config", Short: "Print what the config file sets", Args: noArgs,
		Long: `Prints the settings of the config file, which is --config, or $DECOUPLE_CONFIG, or decouple.yaml in $XDG_CONFIG_HOME/decouple or ~/.config/decouple.
Its keys are the names of flags with _ for -. A flag on the command line goes before it, and so does the environment. A store with
a password is named by env:NAME or file:PATH:

  store: env:DATABASE_URL
  serve:
    listen: 127.0.0.1:8585
    site: aws/eu-central-1,gpu
    allow_host: [api.example.com]`,
		RunE: func(*cobra.Command, []string) error {
			list, err := a.settings()
			if err != nil {
				return err
			}
			path, _ := a.configPath()
			if asJSON {
				out := map[string][]string{}
				for _, s := range list {
					out[s.key] = s.values
				}
				return a.json(out)
			}
			a.say("config file: %s", path)
			var rows [][]string
			for _, s := range list {
				rows = append(rows, []string{s.key, strings.Join(s.values, ", ")})
			}
			if len(rows) == 0 {
				a.say("it is not there, or sets nothing")
				return nil
			}
			return a.print(table("KEY VALUE", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
