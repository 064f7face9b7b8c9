package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/gateway/dialect"
	"decouple.dev/decouple/gateway/transport"
)

// listed is a model or alias as the listings of the interfaces show it.
type listed struct {
	name  string
	owner string
	in    int64
	out   int64
}

// listing gives the aliases and models that a caller may ask for, by name.
func (v *visit) listing() []listed {
	w := v.g.world.Load()
	var out []listed
	may := func(name string) bool { return v.who.Models == nil || slices.Contains(v.who.Models, name) }
	for name := range w.catalog.Aliases {
		if _, err := w.catalog.Resolve(name); err == nil && may(name) {
			out = append(out, listed{name: name, owner: "decouple"})
		}
	}
	seen := map[string]bool{}
	for _, ep := range w.endpoints {
		if name := string(ep.Model); !seen[name] && may(name) {
			seen[name] = true
			out = append(out, listed{name, cmp.Or(ep.model.Lab, ep.Provider), ep.model.Context, ep.model.MaxOut})
		}
	}
	slices.SortFunc(out, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	return out
}

// models lists what a caller may ask for, or shows one of it, in the words of the interface that it asks by.
func (v *visit) models() error {
	all := v.listing()
	_, name, _ := strings.Cut(v.r.URL.Path, "/models")
	name = strings.TrimPrefix(name, "/")
	if name != "" {
		at := slices.IndexFunc(all, func(l listed) bool { return l.name == name })
		if at < 0 {
			return decouple.Errorf(decouple.NotFound, "there is no model %s, or this key may not ask for it: GET /v1/models lists those it may", name)
		}
		return v.answerJSON(v.showModel(all[at]))
	}
	data := []any{}
	for _, l := range all {
		data = append(data, v.showModel(l))
	}
	switch v.door {
	case dialect.Messages:
		type page struct {
			Data    []any  `json:"data"`
			HasMore bool   `json:"has_more"`
			First   string `json:"first_id,omitempty"`
			Last    string `json:"last_id,omitempty"`
		}
		p := page{Data: data}
		if len(all) > 0 {
			p.First, p.Last = all[0].name, all[len(all)-1].name
		}
		return v.answerJSON(p)
	case dialect.Generate:
		return v.answerJSON(struct {
			Models []any `json:"models"`
		}{data})
	}
	return v.answerJSON(struct {
		Object string `json:"object"`
		Data   []any  `json:"data"`
	}{"list", data})
}

// showModel is a model in the words of an interface.
func (v *visit) showModel(l listed) any {
	switch v.door {
	case dialect.Messages:
		return struct {
			Type    string `json:"type"`
			ID      string `json:"id"`
			Name    string `json:"display_name"`
			Created string `json:"created_at"`
		}{"model", l.name, l.name, "1970-01-01T00:00:00Z"}
	case dialect.Generate:
		return struct {
			Name    string   `json:"name"`
			Display string   `json:"displayName"`
			In      int64    `json:"inputTokenLimit,omitempty"`
			Out     int64    `json:"outputTokenLimit,omitempty"`
			Methods []string `json:"supportedGenerationMethods"`
		}{"models/" + l.name, l.name, l.in, l.out, []string{"generateContent", "countTokens"}}
	}
	return struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Owner   string `json:"owned_by"`
	}{l.name, "model", 0, l.owner}
}

func (v *visit) answerJSON(x any) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return v.reply(http.StatusOK, b)
}

// countTime is how long a provider may take to count.
const countTime = 10 * time.Second

// counted is the provider's own count, where one of the call's endpoints counts in the caller's words; nil is that none has.
func (c *call) counted(ctx context.Context) []byte {
	if c.sketch.ModelAt[1] == 0 {
		return nil
	}
	for _, id := range c.need.Endpoints {
		ep := c.world.endpoints[id]
		if ep.Provider != providerAnthropic {
			continue
		}
		path := strings.Replace(ep.whole, "/messages", "/messages/count_tokens", 1)
		body := dialect.SetModel(c.in.Body, c.sketch, ep.Name)
		header, err := ep.authorize(ctx, path, ep.header, body)
		if err != nil {
			continue
		}
		var sent bool
		resp, err := c.dial(ctx, c.pass(ep), ep, &transport.Request{Method: http.MethodPost, Path: path, Header: header, Body: body, FirstByte: countTime}, &sent)
		if err != nil {
			continue
		}
		count, err := resp.Whole(maxFault)
		_ = resp.Close() // it was read to its end, or is of no use
		if err == nil && resp.Status == http.StatusOK {
			return count
		}
	}
	return nil
}

// count says how many tokens a request has: by the provider that will be asked, or as an estimate from above, since the tokenizers of most models are their makers' own.
func (v *visit) count() error {
	s, err := dialect.SketchOf(v.door, dialect.Inbound{Body: v.body, Model: v.model})
	if err != nil {
		return err
	}
	c := v.g.blank(v.who)
	c.asked, c.sketch, c.in = s.Model, s, dialect.Inbound{Body: v.body}
	if err := c.heed(v.r.Header); err != nil { // the provider that counts reads it all
		return err
	}
	if err := c.choose(); err != nil {
		return err
	}
	if body := c.counted(v.r.Context()); body != nil {
		return v.reply(http.StatusOK, body)
	}
	v.w.Header().Set("X-Decouple-Estimated", "true")
	if v.door == dialect.Generate {
		return v.answerJSON(struct {
			Total int64 `json:"totalTokens"`
		}{s.TokensIn})
	}
	return v.reply(http.StatusOK, dialect.RenderCount(s.TokensIn))
}

// ListModels asks a server in OpenAI's manner which models it has.
func ListModels(ctx context.Context, acc credential.Account) ([]string, error) {
	target, err := transport.NewTarget(acc.URL)
	if err != nil {
		return nil, err
	}
	ep := &endpoint{target: target.Private()}
	if err := ep.prove(acc); err != nil {
		return nil, err
	}
	path := pathOf(catalog.ListURL(acc.URL))
	header, err := ep.authorize(ctx, path, ep.header, nil)
	if err != nil {
		return nil, err
	}
	client := transport.New(transport.Config{})
	defer client.CloseIdle()
	resp, err := client.Do(ctx, &transport.Request{Method: http.MethodGet, Target: ep.target, Path: path, Header: header})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Close() }()
	body, err := resp.Whole(1 << 20)
	if err != nil {
		return nil, err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if resp.Status != http.StatusOK || json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return nil, decouple.Errorf(decouple.Unavailable, "it lists no models (HTTP status %d)", resp.Status)
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
	}
	return names, nil
}
