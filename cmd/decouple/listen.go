package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"decouple.dev/decouple"
	"decouple.dev/decouple/registry"
)

// listen says where a node answers programs.
type listen struct {
	address   string
	cert, key string // files in PEM
	given     bool   // the address is not the default
}

// here is where a node listens unless it is told otherwise.
const here = "127.0.0.1:8585"

func (l *listen) add(f *pflag.FlagSet) {
	f.StringVar(&l.address, "listen", here, "`HOST:PORT` to answer programs at, or off; port 0 takes a free one")
	f.StringVar(&l.cert, "tls-cert", "", "`FILE` with the certificate of the server and those that sign it, in PEM")
	f.StringVar(&l.key, "tls-key", "", "`FILE` with the certificate's private key, in PEM")
}

// check refuses an address that would show keys to the network.
func (l *listen) check() error {
	if (l.cert == "") != (l.key == "") {
		return decouple.Errorf(decouple.Invalid, "TLS needs both --tls-cert and --tls-key")
	}
	if l.address == "off" {
		return nil
	}
	host, _, err := net.SplitHostPort(l.address)
	if err != nil {
		return decouple.Errorf(decouple.Invalid, "--listen: %q is not HOST:PORT, such as %s", l.address, here)
	}
	if ip := net.ParseIP(host); l.cert == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return decouple.Errorf(decouple.Denied, "--listen: %s can be reached from other machines, and keys would go over the network in the clear: give --tls-cert and --tls-key, or listen on 127.0.0.1", l.address)
	}
	return nil
}

// listen answers programs until the stop that it gives is called.
func (a *app) listen(ctx context.Context, o *owner, p plan, l listen) (stop func() error, err error) {
	if l.address == "off" {
		return func() error { return nil }, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if l.cert != "" {
		pair, err := tls.LoadX509KeyPair(l.cert, l.key)
		if err != nil {
			return nil, decouple.Errorf(decouple.Invalid, "--tls-cert, --tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	var lc net.ListenConfig
	at, err := lc.Listen(ctx, "tcp", l.address)
	if errors.Is(err, unix.EADDRINUSE) && !l.given {
		at, err = lc.Listen(ctx, "tcp", "127.0.0.1:0") // another node of this machine has the usual port
	}
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "--listen: %w", err)
	}
	scheme := "http"
	if l.cert != "" {
		scheme, at = "https", tls.NewListener(at, config)
	}
	s := o.server(p)
	s.Keys, s.Metrics, s.Gateway = registry.NewKeys(o.store), o.hub.Metrics(o.counts), o.gateway
	bearer, made, err := s.Keys.First(ctx)
	if err != nil {
		return nil, errors.Join(err, at.Close())
	}
	if made {
		a.say("the first key, of the owner of this installation, is shown only now:\n  %s", bearer)
	}
	a.say("answering at %s://%s", scheme, at.Addr())
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 2)
	go func() { done <- o.hub.Run(serving) }()
	go func() { done <- s.Run(serving, at) }()
	return func() error {
		cancel()
		return errors.Join(<-done, <-done)
	}, nil
}
