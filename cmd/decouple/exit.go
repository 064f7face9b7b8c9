package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/risk/sign"
)

const (
	// signFile holds the key that this installation signs results with.
	signFile = "signing.key"
	// signVariable holds it instead, where nodes share a journal.
	signVariable = "DECOUPLE_SIGNING_KEY"
)

func newExit(a *app) *cobra.Command {
	return group("exit", "Leave with everything, and prove it", newExitBundle(a), newExitVerify(a), newExitImport(a), newExitReport(a), newExitRegister(a), newExitFocus(a), newExitKey(a))
}

// signer is the key that this installation signs results with; it is made when it is first needed.
func (a *app) signer() (*sign.Key, error) {
	if text := a.env(signVariable); text != "" {
		return sign.Parse(text, signVariable)
	}
	if url, err := a.shared(); err != nil || url != "" {
		if err != nil {
			return nil, err
		}
		return nil, decouple.Errorf(decouple.Invalid, "nodes that share a journal sign with one key: set %s to the same 64 hexadecimal digits at all of them, from `openssl rand -hex 32`", signVariable)
	}
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the data folder cannot be made: %w; choose another one with --data", err)
	}
	return sign.Make(filepath.Join(dir, signFile))
}

func newExitKey(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "key", Short: "Print the public key that signed results are checked with", Args: noArgs,
		Long: `Prints the public key of this installation, as openssl reads it, and makes the key if there is none. Bundles, reports and drills are signed with it.
Give it to whoever checks them, by another way than the documents. The signing key itself is ` + signFile + ` in the data folder, or $` + signVariable + ` where
nodes share a journal; it is in no bundle.`,
		Example: "  decouple exit key > decouple.pub\n  decouple exit verify leave.tar --key decouple.pub",
		RunE: func(*cobra.Command, []string) error {
			k, err := a.signer()
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(map[string]string{"id": k.Public().ID(), "pem": k.Public().PEM()})
			}
			a.say("key %s", k.Public().ID())
			return a.print(k.Public().PEM())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return c
}
