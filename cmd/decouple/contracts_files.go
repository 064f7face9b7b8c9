package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"decouple.dev/decouple"
	"decouple.dev/decouple/gateway"
	"decouple.dev/decouple/registry"
)

// policies are the contracts as the gateway asks for them.
type policies struct{ contracts *registry.Contracts }

// Policy is what holds for a tenant now.
func (p policies) Policy(t decouple.TenantID) (gateway.Judge, error) {
	terms, err := p.contracts.Policy(t)
	if terms == nil {
		return nil, err // and not a Judge that is nil
	}
	return terms, err
}

// Signed are the clauses that are signed off for a run of a tenant, beside those that are for everybody.
func (p policies) Signed(t decouple.TenantID, run decouple.RunID, class string) ([]string, error) {
	return p.contracts.Signed(context.Background(), t, run, class) // what holds was just looked at: it waits for nothing
}

// contractsOf are the contracts of a journal, which may be nil, with the files that --contracts or the config file name.
func (a *app) contractsOf(log registry.ContractLog) (*registry.Contracts, error) {
	files, err := contractFiles(a.contracts)
	if err != nil {
		return nil, err
	}
	return registry.NewContracts(log, files...)
}

// contractFiles reads files of contracts, and those at the top of folders whose names end in .yaml or .yml.
func contractFiles(paths []string) ([]registry.ContractFile, error) {
	var out []registry.ContractFile
	for _, path := range paths {
		list := []string{path}
		if info, err := os.Stat(path); err != nil {
			return nil, decouple.Errorf(decouple.NotFound, "contracts: there is no file or folder %s", path)
		} else if info.IsDir() {
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil, decouple.Errorf(decouple.Unavailable, "contracts: %w", err)
			}
			list = nil
			for _, e := range entries {
				if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
					list = append(list, filepath.Join(path, e.Name()))
				}
			}
			slices.Sort(list)
			if len(list) == 0 {
				return nil, decouple.Errorf(decouple.NotFound, "contracts: there is no file in %s whose name ends in .yaml", strings.TrimSuffix(path, "/"))
			}
		}
		for _, file := range list {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, decouple.Errorf(decouple.NotFound, "contracts: %w", err)
			}
			out = append(out, registry.ContractFile{Name: file, Text: text})
		}
	}
	return out, nil
}
