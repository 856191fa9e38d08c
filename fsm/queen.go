package fsm

// Role is what a queen does in the cluster.
type Role uint8

// Roles of a queen. A relay holds the state and serves clients; it never votes.
const (
	RoleVoter Role = iota + 1
	RoleRelay
)

// String is the role's word on every wire.
func (r Role) String() string { return word(r, "voter", "relay") }

// Queen is a member: who it is. Raft's configuration says who votes.
type Queen struct {
	ID      string
	Boot    string // ULID of its current start
	Role    Role
	HTTP    string // base URL
	Raft    string // host:port
	Gossip  string // host:port
	Version string
	Level   Level // highest it can read

	sum Sum
}

// KeyRole is what an API key may do.
type KeyRole uint8

// Roles of a key.
const (
	KeyUser KeyRole = iota + 1
	KeyAdmin
)

// String is the role's word on every wire.
func (r KeyRole) String() string { return word(r, "user", "admin") }

// Key is an API key, by hash only.
type Key struct {
	Hash    [32]byte // SHA-256 of the key
	Tenant  string
	Role    KeyRole
	Name    string
	Created Millis

	sum Sum
}

// Idempotency remembers which job a tenant's Idempotency-Key made.
type Idempotency struct {
	Tenant string
	Key    string
	Job    string
	Hash   [32]byte // of the request
	Expiry Time

	sum Sum
}
