package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"decouple.dev/decouple"
	"decouple.dev/decouple/api"
	"decouple.dev/decouple/catalog"
	"decouple.dev/decouple/gateway/credential"
	"decouple.dev/decouple/journal"
	"decouple.dev/decouple/placement"
	"decouple.dev/decouple/registry"
	"decouple.dev/decouple/risk/whatif"
)

func newContracts(a *app) *cobra.Command {
	return group("contracts", "Say where work may go, in terms that lawyers read, and try what a draft would change", newContractsPut(a), newContractsCheck(a), newContractsLs(a), newContractsShow(a), newContractsHistory(a),
		newContractsDiff(a), newContractsWithdraw(a), newContractsSignOff(a), newContractsReplay(a), newContractsShares(a), newContractsCommitments(a), newContractsCedar(a))
}

// asker is who answers what may go where: a server, or this process from what the journal has.
type asker interface {
	Contracts(ctx context.Context) (api.ContractList, error)
	Contract(ctx context.Context, id, version string) (registry.ContractVersion, error)
	ContractHistory(ctx context.Context, id string) ([]registry.ContractVersion, error)
	DiffContract(ctx context.Context, d api.ContractDiff) (api.ContractChange, error)
	Placement(ctx context.Context, q api.PlacementQuery) (whatif.Answer, error)
	Past(ctx context.Context, q api.PastQuery) ([]api.PastCall, error)
	Replay(ctx context.Context, q api.ReplayQuery) (whatif.Replayed, error)
	Standing(ctx context.Context, q api.StandingQuery) (api.Standing, error)
	Cedar(ctx context.Context, m placement.Moment) (string, error)
	Close() error
}

// asker finds who answers: the server that is named, the process that owns the data folder, or this one. A data folder that is not there yet has nothing but the files here.
func (a *app) asker(ctx context.Context) (asker, error) {
	there, err := a.atWork(ctx)
	if err != nil {
		return nil, err
	}
	if there != nil {
		return there, nil
	}
	cat, err := a.offered()
	if err != nil {
		return nil, err
	}
	l := &local{a: a}
	desk := api.DeskConfig{Catalog: cat}
	var from registry.ContractLog
	switch log, err := a.readLog(ctx); {
	case err == nil:
		from, desk.Journal, l.log = unwritten{log}, log, log
	case decouple.KindOf(err) != decouple.NotFound:
		return nil, err
	}
	if desk.Contracts, err = a.contractsOf(from); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.desk = api.NewDesk(desk)
	return l, nil
}

// offered is the catalog with the endpoints of the accounts that the config file and the environment name. Nobody is asked.
func (a *app) offered() (*catalog.Catalog, error) {
	cat, err := catalog.Embedded()
	if err != nil {
		return nil, err
	}
	file, err := a.gatewaySettings()
	if err != nil {
		return nil, err
	}
	accounts := file.accounts
	if file.discover {
		found, _ := credential.Discover(a.env)
		accounts = append(accounts, unnamed(found, accounts)...)
	}
	return file.offers(cat, accounts)
}

// unwritten is a journal that this process only reads.
type unwritten struct{ log }

// Commit refuses.
func (unwritten) Commit(context.Context, journal.Mutation) (journal.Receipt, error) {
	return journal.Receipt{}, decouple.Errorf(decouple.Internal, "the journal is open for reading only")
}

// local answers in this process, for the local tenant.
type local struct {
	a    *app
	desk *api.Desk
	log  io.Closer // nil is that there is no journal
}

// Close closes the journal.
func (l *local) Close() error {
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}

// Contracts lists what is agreed.
func (l *local) Contracts(ctx context.Context) (api.ContractList, error) {
	return api.ListContracts(ctx, l.desk.Contracts, decouple.LocalTenant)
}

// Contract shows a version of a contract.
func (l *local) Contract(ctx context.Context, id, version string) (registry.ContractVersion, error) {
	return l.desk.Contracts.Show(ctx, decouple.LocalTenant, id, version)
}

// ContractHistory lists the versions of a contract.
func (l *local) ContractHistory(ctx context.Context, id string) ([]registry.ContractVersion, error) {
	return l.desk.Contracts.History(ctx, decouple.LocalTenant, id)
}

// DiffContract says what a version changes.
func (l *local) DiffContract(ctx context.Context, d api.ContractDiff) (api.ContractChange, error) {
	d.Tenant = decouple.LocalTenant
	return api.DiffContracts(ctx, l.desk.Contracts, d)
}

// Placement says where a model may be asked.
func (l *local) Placement(ctx context.Context, q api.PlacementQuery) (whatif.Answer, error) {
	return l.desk.Placement(ctx, decouple.LocalTenant, q)
}

// Past explains recorded calls.
func (l *local) Past(ctx context.Context, q api.PastQuery) ([]api.PastCall, error) {
	return l.desk.Past(ctx, decouple.LocalTenant, q)
}

// Replay decides recorded calls again, and says how far it is.
func (l *local) Replay(ctx context.Context, q api.ReplayQuery) (whatif.Replayed, error) {
	last := time.Now()
	return l.desk.Replay(ctx, decouple.LocalTenant, q, func(done int64) {
		if time.Since(last) > time.Second {
			last = time.Now()
			l.a.say("%s calls decided", short(done))
		}
	})
}

// Standing says how promises stand.
func (l *local) Standing(ctx context.Context, q api.StandingQuery) (api.Standing, error) {
	return l.desk.Standing(ctx, decouple.LocalTenant, q)
}

// Cedar is what holds in the language of Cedar.
func (l *local) Cedar(ctx context.Context, m placement.Moment) (string, error) {
	return l.desk.Cedar(ctx, decouple.LocalTenant, m)
}

// asking runs fn with whoever answers.
func (a *app) asking(ctx context.Context, fn func(asker) error) error {
	who, err := a.asker(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(who), who.Close())
}
