package sim

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"decouple.dev/decouple"
	"decouple.dev/decouple/catalog"
)

// DefaultClouds is the file of the ten clouds that a world has when nobody names others.
//
//go:embed clouds.yaml
var DefaultClouds []byte

// Setup is a world and how it is shown: what a file of clouds says.
type Setup struct {
	Config
	Speed   float64 // the world's clock runs so many times as fast
	Instant bool    // nothing waits: for load
	Answers Answers
	Ports   map[string]int      // by cloud; 0 is the next one
	Keys    map[string][]string // by cloud: the credentials that it takes; none is any that is not empty
}

// ReadSetup reads a file of clouds. What is wrong with it is Invalid, with the file's name and the line.
func ReadSetup(name string, data []byte) (Setup, error) {
	var f fileSetup
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return Setup{}, explain(name, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Setup{}, explain(name, err)
	}
	s, place, err := f.setup()
	if err == nil {
		return s, nil
	}
	return Setup{}, decouple.Errorf(decouple.Invalid, "%s:%d: %w", name, lineOf(&doc, place), err)
}

// ReadFault reads one fault, or a list of them, in YAML or JSON.
func ReadFault(data []byte) ([]Fault, error) {
	text := bytes.TrimSpace(data)
	var list []fileFault
	var target any = &list
	var one fileFault
	if !bytes.HasPrefix(text, []byte("[")) && !bytes.HasPrefix(text, []byte("- ")) {
		target = &one
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(target); err != nil {
		return nil, explain("fault", err)
	}
	if target == &one {
		list = []fileFault{one}
	}
	var out []Fault
	for _, f := range list {
		out = append(out, f.fault())
	}
	return out, nil
}

var (
	unknownField = regexp.MustCompile(`line (\d+): field (.*) not found in type \S+`)
	wrongType    = regexp.MustCompile(`line (\d+): cannot unmarshal !!\w+ (?:.(.*). )?into (\S+)`)
	atLine       = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)`)
)

// explain puts the decoder's errors in the words of this program: the first of them.
func explain(name string, err error) error {
	text := err.Error()
	var many *yaml.TypeError
	if errors.As(err, &many) && len(many.Errors) > 0 {
		text = many.Errors[0]
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: there is no key %q here", name, m[1], plain(m[2]))
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %q is not what belongs here", name, m[1], plain(m[2]))
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		return decouple.Errorf(decouple.Invalid, "%s:%s: %s", name, m[1], plain(m[2]))
	}
	return decouple.Errorf(decouple.Invalid, "%s: %s", name, plain(text))
}

// where is a place in a file: keys, and numbers for items of lists.
type where []any

// lineOf is the line of a place, or of what is nearest to it.
func lineOf(doc *yaml.Node, at where) int {
	if len(doc.Content) == 0 {
		return 1
	}
	n := doc.Content[0]
	for _, step := range at {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return max(1, n.Line)
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// The file's own types. Amounts are dollars a million tokens, counts may end in k or M, durations are written as 30s.
type (
	fileSetup struct {
		Seed    uint64      `yaml:"seed"`
		Start   time.Time   `yaml:"start"`
		Speed   *float64    `yaml:"speed"`
		Instant bool        `yaml:"instant"`
		Answers fileAnswers `yaml:"answers"`
		Clouds  []fileCloud `yaml:"clouds"`
		Faults  []fileFault `yaml:"faults"`
	}
	fileAnswers struct {
		Mode   string       `yaml:"mode"`
		Tokens count        `yaml:"tokens"`
		Script []fileAnswer `yaml:"script"`
		Filter []string     `yaml:"filter"`
	}
	fileAnswer struct {
		Match   string     `yaml:"match"`
		Text    string     `yaml:"text"`
		Thought string     `yaml:"thought"`
		Calls   []fileCall `yaml:"calls"`
	}
	fileCall struct {
		Name string    `yaml:"name"`
		Args yaml.Node `yaml:"args"`
	}
	fileCloud struct {
		Name       string      `yaml:"name"`
		Vendor     string      `yaml:"vendor"`
		Port       int         `yaml:"port"`
		Keys       []string    `yaml:"keys"`
		Hardware   string      `yaml:"hardware"`
		Regions    []string    `yaml:"regions"`
		First      fileSpread  `yaml:"ttft"`
		Rate       float64     `yaml:"rate"`
		Loaded     fileLoaded  `yaml:"loaded"`
		Prefill    float64     `yaml:"prefill"`
		Concurrent count       `yaml:"concurrent"`
		Queue      count       `yaml:"queue"`
		Limits     fileLimits  `yaml:"limits"`
		Cache      fileCache   `yaml:"cache"`
		Cancel     string      `yaml:"cancel"`
		Broken     string      `yaml:"broken"`
		Errors     float64     `yaml:"errors"`
		Models     []fileModel `yaml:"models"`
	}
	fileSpread struct {
		P50 time.Duration `yaml:"p50"`
		P95 time.Duration `yaml:"p95"`
	}
	fileLoaded struct {
		Rate float64 `yaml:"rate"`
		At   count   `yaml:"at"`
	}
	fileLimits struct {
		Requests   count    `yaml:"rpm"`
		Tokens     count    `yaml:"tpm"`
		TokensIn   count    `yaml:"tpm_in"`
		TokensOut  count    `yaml:"tpm_out"`
		TokensDay  count    `yaml:"tpd"`
		AdmitMax   bool     `yaml:"admit_max"`
		KeepMax    bool     `yaml:"keep_max"`
		AdmitAll   bool     `yaml:"admit_model_max"`
		PerRegion  bool     `yaml:"per_region"`
		CachedFree bool     `yaml:"cached_free"`
		Units      count    `yaml:"ptu"`
		UnitIn     count    `yaml:"ptu_tpm"`
		OutWeight  count    `yaml:"ptu_out_weight"`
		Pool       filePool `yaml:"pool"`
	}
	filePool struct {
		Hot    float64       `yaml:"hot"`
		Refuse float64       `yaml:"refuse"`
		Window time.Duration `yaml:"window"`
	}
	fileCache struct {
		Kind   string        `yaml:"kind"`
		Min    count         `yaml:"min"`
		Step   count         `yaml:"step"`
		Keep   time.Duration `yaml:"keep"`
		Writes bool          `yaml:"writes"`
	}
	fileModel struct {
		ID      string      `yaml:"id"`
		Name    string      `yaml:"name"`
		Names   []string    `yaml:"names"`
		Context count       `yaml:"context"`
		MaxOut  count       `yaml:"max_output"`
		Out     count       `yaml:"output"`
		Embeds  bool        `yaml:"embeds"`
		Retires time.Time   `yaml:"retires"`
		Price   *filePrice  `yaml:"price"`
		Prices  []filePrice `yaml:"prices"`
	}
	filePrice struct {
		From   time.Time        `yaml:"from"`
		Source string           `yaml:"source"`
		Tier   fileTier         `yaml:",inline"`
		Tiers  []fileTier       `yaml:"tiers"`
		Uplift map[string]times `yaml:"uplift"`
		Class  map[string]times `yaml:"class"`
	}
	fileTier struct {
		Above      count `yaml:"above"`
		In         usd   `yaml:"in"`
		Cached     *usd  `yaml:"cached"`
		CacheWrite *usd  `yaml:"cache_write"`
		CacheLong  *usd  `yaml:"cache_long"`
		Out        usd   `yaml:"out"`
	}
	fileFault struct {
		Name       string        `yaml:"name"`
		Cloud      string        `yaml:"cloud"`
		Region     string        `yaml:"region"`
		Model      string        `yaml:"model"`
		Kind       string        `yaml:"kind"`
		From       time.Duration `yaml:"from"`
		To         time.Duration `yaml:"to"`
		Share      float64       `yaml:"share"`
		Nth        int64         `yaml:"nth"`
		Mode       string        `yaml:"mode"`
		After      int64         `yaml:"after"`
		For        time.Duration `yaml:"for"`
		Factor     float64       `yaml:"factor"`
		RetryAfter time.Duration `yaml:"retry_after"`
		Message    string        `yaml:"message"`
	}
)

// count is a whole number; k and M stand for thousand and million.
type count int64

// UnmarshalYAML reads a count.
func (c *count) UnmarshalYAML(n *yaml.Node) error {
	text, unit := n.Value, int64(1)
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, unit = t, 1000
	} else if t, ok := strings.CutSuffix(text, "M"); ok {
		text, unit = t, million
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > math.MaxInt64/4/unit {
		return fmt.Errorf("line %d: %s is not a count such as 500 or 30k", n.Line, strconv.Quote(n.Value))
	}
	*c = count(v * unit)
	return nil
}

// usd is an amount of dollars.
type usd decouple.Money

// UnmarshalYAML reads an amount.
func (u *usd) UnmarshalYAML(n *yaml.Node) error {
	m, err := decouple.ParseMoney(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %s is not an amount of dollars such as 0.25", n.Line, strconv.Quote(n.Value))
	}
	*u = usd(m)
	return nil
}

// times is a factor, of which thousandths are kept.
type times catalog.Part

// UnmarshalYAML reads a factor.
func (t *times) UnmarshalYAML(n *yaml.Node) error {
	m, err := decouple.ParseMoney(n.Value)
	part := m / (decouple.USD / thousand)
	if n.Kind != yaml.ScalarNode || err != nil || m%(decouple.USD/thousand) != 0 || part > decouple.Money(maxFactor) {
		return fmt.Errorf("line %d: %s is not a factor such as 1.1 with at most three decimals", n.Line, strconv.Quote(n.Value))
	}
	*t = times(part)
	return nil
}
