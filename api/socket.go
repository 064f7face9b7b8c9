package api

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"decouple.dev/decouple"
)

// Socket is the name of the owner's socket in a data folder.
const Socket = "owner.sock"

// maxAddress is how long the path of a Unix socket may be on every system.
const maxAddress = 100

// Listen makes the socket of a data folder, which the caller owns: a socket that an ended process left there is replaced. Only this user may open it.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, Socket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, decouple.Errorf(decouple.Unavailable, "the socket that an ended process left cannot be removed: %w", err)
	}
	short, done, err := shorten(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux the file gets the mode that the socket has when it is bound; elsewhere this fails and the mode is set below.
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	l, err := config.Listen(ctx, "unix", short)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, decouple.Errorf(decouple.Unavailable, "the socket %s cannot be made: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it would remove the short path
	return listener{l, path}, nil
}

// listener removes its socket when it is closed.
type listener struct {
	net.Listener
	path string
}

// Close ends the listening and removes the socket.
func (l listener) Close() error {
	_ = os.Remove(l.path)
	return l.Listener.Close()
}

// dial connects to the owner of a data folder. NotFound says that nobody listens there.
func dial(ctx context.Context, dir string) (net.Conn, error) {
	short, done, err := shorten(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, decouple.Errorf(decouple.NotFound, "no process owns the data folder %s now: %w", dir, err)
	case errors.Is(err, os.ErrPermission):
		return nil, decouple.Errorf(decouple.Denied, "the owner of the data folder %s belongs to another user: %w", dir, err)
	}
	return nil, decouple.Errorf(decouple.KindOf(err), "the owner of the data folder %s cannot be reached: %w", dir, err)
}

// shorten gives a path of the socket that fits in a socket's address: where the folder's own is too long, one through a symbolic link that lasts until done.
func shorten(dir string) (path string, done func(), err error) {
	if path = filepath.Join(dir, Socket); len(path) <= maxAddress {
		return path, func() {}, nil
	}
	tmp, err := os.MkdirTemp("", "dc")
	if err != nil {
		return "", nil, decouple.Errorf(decouple.Unavailable, "the path %s is too long for a socket, and no short one can be made: %w", path, err)
	}
	done = func() { _ = os.RemoveAll(tmp) }
	if err := os.Symlink(dir, filepath.Join(tmp, "d")); err != nil {
		done()
		return "", nil, decouple.Errorf(decouple.Unavailable, "the path %s is too long for a socket, and no short one can be made: %w", path, err)
	}
	return filepath.Join(tmp, "d", Socket), done, nil
}
