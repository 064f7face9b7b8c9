package route

import (
	"cmp"
	"time"
)

// Config is how the router judges. The zero value of each field stands for what its comment says.
type Config struct {
	Window      time.Duration // half of the evidence is forgotten in it; 30 s
	Run         int           // failures in a row that open a breaker; 5
	FailShare   float64       // share of failures that opens a breaker; 0.5
	Degraded    float64       // share of failures from which an endpoint comes after the others; 0.2, what the retry budget can carry
	SlowTimes   float64       // a first token so many times later than is normal counts as a failure; 5
	BackOff     time.Duration // of a breaker that opens the first time; 1 s
	BackOffMax  time.Duration // 2 min
	Patience    time.Duration // shortest time to wait for a first token before giving up; 5 s
	PatienceMax time.Duration // longest; 60 s
	Wait        time.Duration // longest wait of a call without a deadline; 30 s
	Attempts    int           // at one endpoint for one call, where there is no other; 3

	Dearer float64 // by how much an endpoint that keeps a promise may cost more than the best, and its score be less; 0.25, a negative number is not at all

	RetryShare float64 // attempts beyond the first, per call; 0.2
	RetryBurst float64 // attempts that may be saved up; 10
	RetryFloor float64 // attempts a minute that even few calls earn; 6

	FirstToken time.Duration // expected of an endpoint that nothing is known of; 800 ms
	Rate       float64       // tokens a second, likewise; 60
	Answer     int64         // tokens of an answer, likewise; 300

	Replicas int // processes that share the providers' limits; 1
}

// filled is c with what its zero values stand for.
func (c Config) filled() Config {
	c.Window = cmp.Or(c.Window, 30*time.Second)
	c.Run = cmp.Or(c.Run, 5)
	c.FailShare = cmp.Or(c.FailShare, 0.5)
	c.Degraded = cmp.Or(c.Degraded, 0.2)
	c.SlowTimes = cmp.Or(c.SlowTimes, 5)
	c.BackOff = cmp.Or(c.BackOff, time.Second)
	c.BackOffMax = cmp.Or(c.BackOffMax, 2*time.Minute)
	c.Patience = cmp.Or(c.Patience, 5*time.Second)
	c.PatienceMax = cmp.Or(c.PatienceMax, time.Minute)
	c.Wait = cmp.Or(c.Wait, 30*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 3)
	c.Dearer = cmp.Or(c.Dearer, 0.25)
	c.RetryShare = cmp.Or(c.RetryShare, 0.2)
	c.RetryBurst = cmp.Or(c.RetryBurst, 10)
	c.RetryFloor = cmp.Or(c.RetryFloor, 6)
	c.FirstToken = cmp.Or(c.FirstToken, 800*time.Millisecond)
	c.Rate = cmp.Or(c.Rate, 60)
	c.Answer = cmp.Or(c.Answer, 300)
	c.Replicas = cmp.Or(c.Replicas, 1)
	return c
}
