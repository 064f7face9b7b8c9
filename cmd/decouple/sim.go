package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/sim"
)

// simAddress is where simulated clouds are run unless another place is named: the operator's port, and the clouds at those that follow.
const simAddress = "127.0.0.1:7400"

// simFlags are the flags of `decouple sim`.
type simFlags struct {
	file    string
	listen  string
	seed    uint64
	speed   float64
	instant bool
	json    bool
}

func newSim(a *app) *cobra.Command {
	var f simFlags
	c := &cobra.Command{
		Use: "sim", Short: "Start simulated clouds on this machine, each with its vendor's own interface",
		Long: `Starts simulated clouds, each at a port of this machine, speaking its vendor's own interface: OpenAI, Azure OpenAI, Amazon Bedrock,
Anthropic, Vertex, Cerebras, Groq and a server of one's own. They answer through the builtin model or a script, with times, quotas,
errors and prices calibrated to public figures. They are no benchmark of any vendor, and no request leaves this machine.

Without --config there are ten clouds. A file says which clouds there are, what they answer, and what goes wrong when; an example
is examples/clouds.yaml, and docs/sim.md describes every key.

The first port, of --listen, is for whoever runs the simulation: faults, the invoice of every call, the journal of what reached the
clouds, and a reset. ` + "`decouple sim faults`" + ` talks to it.`,
		Example: `  decouple sim
  decouple sim --config clouds.yaml --seed 7 --speed 20
  decouple sim faults set storm --cloud openai --for-time 2m
  curl http://127.0.0.1:7400/invoice`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			setup, err := f.setup(c)
			if err != nil {
				return err
			}
			s, err := sim.Listen(setup, f.listen)
			if err != nil {
				return err
			}
			if err := a.showSim(s, setup, f.json); err != nil {
				return err
			}
			return s.Run(c.Context())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.file, "config", "", "`FILE` that describes the clouds (default: ten clouds of our own)")
	flags.StringVar(&f.listen, "listen", simAddress, "`ADDRESS` of this machine for the operator; the clouds have the ports after it, and port 0 is any")
	flags.Uint64Var(&f.seed, "seed", 1, "`NUMBER` from which all chance follows (default: the file's)")
	flags.Float64Var(&f.speed, "speed", 1, "how many times as fast as it is time goes by (default: the file's)")
	flags.BoolVar(&f.instant, "instant", false, "wait for nothing but stalls: for load")
	flags.BoolVar(&f.json, "json", false, "write one JSON object about the clouds, then run")
	c.AddCommand(newSimFaults(a))
	return c
}

// setup reads the file and lays the flags over it.
func (f *simFlags) setup(c *cobra.Command) (sim.Setup, error) {
	name, data := "clouds.yaml", sim.DefaultClouds
	if f.file != "" {
		var err error
		if data, err = os.ReadFile(f.file); err != nil {
			return sim.Setup{}, decouple.Errorf(decouple.NotFound, "the file of clouds cannot be read: %w", err)
		}
		name = f.file
	}
	s, err := sim.ReadSetup(name, data)
	if err != nil {
		return s, err
	}
	if c.Flags().Changed("seed") {
		s.Seed = f.seed
	}
	if c.Flags().Changed("speed") {
		s.Speed = f.speed
	}
	if !(s.Speed > 0 && s.Speed <= 1e6) {
		return s, decouple.Errorf(decouple.Invalid, "--speed is a number above 0, at most a million")
	}
	s.Instant = s.Instant || f.instant
	return s, nil
}

// simShown is what --json writes.
type simShown struct {
	Label       string    `json:"label"`
	Seed        uint64    `json:"seed"`
	Speed       float64   `json:"speed"`
	Admin       string    `json:"admin"`
	Clouds      []sim.Row `json:"clouds"`
	Environment []string  `json:"environment"`
}

// showSim tells what was started, and how to point programs at it.
func (a *app) showSim(s *sim.Servers, setup sim.Setup, asJSON bool) error {
	if asJSON {
		return a.json(simShown{sim.Label, setup.Seed, setup.Speed, s.Admin(), s.Table(), s.Environment()})
	}
	var rows [][]string
	for _, r := range s.Table() {
		for i, m := range r.Models {
			row := []string{r.Name, r.URL, r.Protocol, m.Name, cents(m.In) + "/" + cents(m.Out), r.First, fmt.Sprintf("%.0f", r.Rate), strings.Join(r.Regions, " ")}
			if i > 0 {
				row[0], row[1], row[2], row[5], row[6], row[7] = "", "", "", "", "", ""
			} else {
				row[7] = clip(row[7], 40)
			}
			rows = append(rows, row)
		}
	}
	text := table("CLOUD URL PROTOCOL MODEL $/M_IN/OUT TTFT_P50/P95 TOKENS/S REGIONS", rows)
	text += "\nSimulated: " + sim.Label + fmt.Sprintf(". Seed %d, speed %g.\n", setup.Seed, setup.Speed)
	text += "\nTo point programs at them (any key will do):\n"
	for _, line := range s.Environment() {
		text += "  export " + line + "\n"
	}
	text += "\nAt " + s.Admin() + ": /faults /invoice /journal /clouds, and POST /reset. In another terminal:\n  " +
		a.command("sim", "faults", "set", "storm", "--cloud", setup.Clouds[0].Name, "--admin", s.Admin()) + "\nCtrl-C ends it.\n"
	return a.print(text)
}

// simFault are the flags of `decouple sim faults set`, as the interface takes them.
type simFault struct {
	Name       string  `json:"name,omitempty"`
	Kind       string  `json:"kind"`
	Cloud      string  `json:"cloud,omitempty"`
	Region     string  `json:"region,omitempty"`
	Model      string  `json:"model,omitempty"`
	Mode       string  `json:"mode,omitempty"`
	From       string  `json:"from,omitempty"`
	To         string  `json:"to,omitempty"`
	Share      float64 `json:"share,omitempty"`
	Nth        int64   `json:"nth,omitempty"`
	After      int64   `json:"after,omitempty"`
	For        string  `json:"for,omitempty"`
	Factor     float64 `json:"factor,omitempty"`
	RetryAfter string  `json:"retry_after,omitempty"`
	Message    string  `json:"message,omitempty"`
}

func newSimFaults(a *app) *cobra.Command {
	var admin string
	c := group("faults", "Let something go wrong in simulated clouds that run, see what does, and take it back",
		newSimFaultsSet(a, &admin), newSimFaultsLs(a, &admin), newSimFaultsClear(a, &admin))
	c.PersistentFlags().StringVar(&admin, "admin", "http://"+simAddress, "`URL` of the operator's port, as `decouple sim` prints it")
	return c
}

func newSimFaultsSet(a *app, admin *string) *cobra.Command {
	var f simFault
	var lasts, from, stall, retry time.Duration
	c := &cobra.Command{
		Use: "set KIND", Short: "Let something go wrong from now on",
		Long: `Lets something go wrong from now on, or from --in on, for good or for --for-time. Kinds:

  outage        nobody answers: --mode refused (default), reset, or a status such as 500 or 530
  storm         429 with --retry-after; --mode insufficient_quota: the money is gone
  overload      full, in the vendor's own words: 529, 498, 503
  auth          no credential is understood: --mode 401 or 403
  wrong_400     a right request is called wrong
  stall_first   nothing before the first token for --stall; --mode headers: not even those
  stall         nothing for --stall, after --after tokens
  slow          --factor times slower
  cut, reset    the stream breaks after --after tokens; cut --mode clean ends as if all were well
  error_in_200  an error in the stream after --after tokens
  empty         the answer says nothing
  truncated     JSON that breaks off
  price, quota  --factor times as much

Without --cloud, --region and --model everything is hit; --share 0.3 hits three calls in ten, --nth 5 only the fifth.`,
		Example: `  decouple sim faults set outage --cloud azure --region swedencentral --for-time 7h
  decouple sim faults set wrong_400 --cloud azure --model gpt-5.4
  decouple sim faults set stall --stall 30s --after 20 --share 0.45`,
		Args: exactly("the KIND of what goes wrong"),
		RunE: func(c *cobra.Command, args []string) error {
			f.Kind = args[0]
			for _, d := range []struct {
				to *string
				d  time.Duration
			}{{&f.From, from}, {&f.For, stall}, {&f.RetryAfter, retry}} {
				if d.d != 0 {
					*d.to = d.d.String()
				}
			}
			if lasts > 0 {
				f.To = (from + lasts).String()
			}
			var made struct{ Names []string }
			if err := callSim(c.Context(), simRequest{"POST", *admin, "/faults"}, &f, &made); err != nil {
				return err
			}
			return a.print(strings.Join(made.Names, "\n") + "\n")
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.Name, "name", "", "`NAME` by which to clear it (default: one is given)")
	flags.StringVar(&f.Cloud, "cloud", "", "only this `CLOUD`")
	flags.StringVar(&f.Region, "region", "", "only this `REGION`")
	flags.StringVar(&f.Model, "model", "", "only this `MODEL`")
	flags.StringVar(&f.Mode, "mode", "", "`HOW` it goes wrong, where a kind has several ways")
	flags.Float64Var(&f.Share, "share", 0, "share of the calls, 0 to 1 (default: all)")
	flags.Int64Var(&f.Nth, "nth", 0, "only the `N`th call")
	flags.Int64Var(&f.After, "after", 0, "after `N` tokens")
	flags.DurationVar(&stall, "stall", 0, "how long nothing comes")
	flags.Float64Var(&f.Factor, "factor", 0, "how many times")
	flags.DurationVar(&retry, "retry-after", 0, "what a storm says of how long to wait (default 10s)")
	flags.StringVar(&f.Message, "message", "", "`TEXT` instead of the vendor's words")
	flags.DurationVar(&from, "in", 0, "begin so much later, in the world's time")
	flags.DurationVar(&lasts, "for-time", 0, "end so long after it has begun (default: never)")
	return c
}

func newSimFaultsLs(a *app, admin *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List what goes wrong, and what will", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var list []sim.ShownFault
			if err := callSim(c.Context(), simRequest{"GET", *admin, "/faults"}, nil, &list); err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			var rows [][]string
			for _, f := range list {
				state := "waits"
				switch {
				case f.Active:
					state = "active"
				case !f.To.IsZero() && f.From.Before(f.To):
					state = "not now"
				}
				rows = append(rows, []string{f.Name, string(f.Kind), f.Mode, orAll(f.Cloud), orAll(f.Region), orAll(f.Model), state})
			}
			if len(rows) == 0 {
				a.say("nothing goes wrong")
				return nil
			}
			return a.print(table("NAME KIND MODE CLOUD REGION MODEL STATE", rows))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write a JSON array")
	return c
}

func orAll(s string) string {
	if s == "" {
		return "all"
	}
	return s
}

func newSimFaultsClear(a *app, admin *string) *cobra.Command {
	return &cobra.Command{
		Use: "clear [NAME]", Short: "Take back the fault of a name, or all of them",
		Args: atMost,
		RunE: func(c *cobra.Command, args []string) error {
			path := "/faults"
			if len(args) == 1 {
				path += "/" + args[0]
			}
			var done struct{ Cleared int }
			if err := callSim(c.Context(), simRequest{"DELETE", *admin, path}, nil, &done); err != nil {
				return err
			}
			a.say("%s cleared", count(done.Cleared, "fault"))
			return nil
		},
	}
}
