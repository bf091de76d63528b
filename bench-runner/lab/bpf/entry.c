/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The node that owns a service's address, for clients outside the cluster: its device sends their packets on to the
 * endpoint's node past the node's own stack, as Cilium does. Both ways of getting the replies back are here, so that they
 * differ in nothing else: translated back by this node (SNAT), or sent straight by the endpoint's node, which the first
 * packet's IP option has told the service's address (direct server return, DSR).
 *
 * src/outside/programs.rs writes `config` and reads the maps.
 */
#include "north_south.h"

/* From sys/socket.h and linux/if_packet.h. */
#define AF_INET 2
#define PACKET_HOST 0

/* Source ports for clients whose own is taken, as the kernel's default range; and how many are tried. */
#define FIRST_PORT 32768
#define PORTS 28232
#define TRIES 8

struct config {
	struct end service;
	struct end endpoint;
	__be32 node;      /* This node's own address. */
	__be32 next_hop;  /* The endpoint's node. */
	__u32 device;     /* Index of the device that joins them. */
	__u16 mtu;        /* Of it. */
	__u8 dsr;
	__u8 padding;
};

_Static_assert(sizeof(struct config) == 32, "no hole");

/* One struct: the compiler lays out single variables by their first use. */
const volatile struct config config = {};

/* As the client sends it, to the port that stands in for its own. The oldest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow);
	__type(value, struct end);
} connections SEC(".maps");

/* As the endpoint answers this node, to the client. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow);
	__type(value, struct end);
} replies SEC(".maps");

struct counts {
	__u64 to_endpoint;
	__u64 to_client;
	__u64 refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} packets SEC(".maps");

static __always_inline struct counts *counts(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&packets, &only);
}

static __always_inline int refuse(void)
{
	struct counts *count = counts();

	if (count)
		count->refused += 1;
	return DROP;
}

/* Lowers the TTL, as a router does; false at the end of the packet's life. */
static __always_inline int live_on(struct packet *packet)
{
	if (packet->header.ip.ttl <= 1)
		return 0;
	packet->header.ip.ttl -= 1;
	return 1;
}

static __always_inline int send_to(__be32 next_hop)
{
	struct bpf_redir_neigh next = { .nh_family = AF_INET, .ipv4_nh = next_hop };

	return (int)bpf_redirect_neigh(config.device, &next, sizeof(next), 0);
}

/* Finds a source port at which replies to this node can be told apart, its own if it is free. */
static __always_inline int take_port(const struct flow *from, struct end *as)
{
	struct end client = { .address = from->source, .port = from->source_port };
	struct flow reply = {
		.source = config.endpoint.address,
		.source_port = config.endpoint.port,
		.destination = config.node,
		.destination_port = from->source_port,
		.protocol = from->protocol,
	};

	for (int i = 0; i < TRIES; i++) {
		const struct end *owner;

		if (i)
			reply.destination_port = bpf_htons(FIRST_PORT + bpf_get_prandom_u32() % PORTS);
		owner = bpf_map_lookup_elem(&replies, &reply);
		if (owner && (owner->address != client.address || owner->port != client.port))
			continue;
		if (owner || !bpf_map_update_elem(&replies, &reply, &client, BPF_NOEXIST)) {
			as->address = config.node;
			as->port = reply.destination_port;
			return 1;
		}
	}
	return 0;
}

/* Finds or makes the connection's entry: who the endpoint is to take the client for. */
static __always_inline int remember(const struct packet *packet, struct end *as)
{
	const struct flow *from = &packet->flow;
	const struct end *known = bpf_map_lookup_elem(&connections, from);

	if (known && !packet->opens) {
		*as = *known;
		return 1;
	}
	if (config.dsr) {
		as->address = from->source;
		as->port = from->source_port;
	} else if (!take_port(from, as)) {
		return 0;
	}
	return !bpf_map_update_elem(&connections, from, as, BPF_ANY);
}

/* Makes room for the option and says in it what the client asked for. */
static __always_inline int add_option(struct __sk_buff *skb, struct packet *packet)
{
	struct header *header = &packet->header;
	__u32 length = bpf_ntohs(header->ip.tot_len) + sizeof(struct option);

	if (length > config.mtu || bpf_skb_adjust_room(skb, sizeof(struct option), BPF_ADJ_ROOM_NET, 0))
		return 0;
	header->option.type = OPTION;
	header->option.length = sizeof(struct option);
	header->option.port = packet->flow.destination_port;
	header->option.address = packet->flow.destination;
	header->ip.ihl += sizeof(struct option) / 4;
	header->ip.tot_len = bpf_htons(length);
	packet->options = sizeof(struct option);
	return 1;
}

static __always_inline int to_endpoint(struct __sk_buff *skb, struct packet *packet)
{
	struct flow to = {
		.destination = config.endpoint.address,
		.destination_port = config.endpoint.port,
	};
	struct counts *count = counts();
	struct end as = {};

	if (!live_on(packet) || !remember(packet, &as))
		return refuse();
	to.source = as.address;
	to.source_port = as.port;
	/* A datagram may be its sender's first for all that this node knows after an eviction, so each one says it. */
	if (config.dsr && (packet->opens || packet->flow.protocol == IPPROTO_UDP)) {
		if (!add_option(skb, packet) || !readdress(skb, packet, &to))
			return refuse();
	} else if (!readdress(skb, packet, &to)) {
		return refuse();
	}
	if (count)
		count->to_endpoint += 1;
	return send_to(config.next_hop);
}

static __always_inline int to_client(struct __sk_buff *skb, struct packet *packet, const struct end *client)
{
	struct flow to = {
		.source = config.service.address,
		.source_port = config.service.port,
		.destination = client->address,
		.destination_port = client->port,
	};
	struct counts *count = counts();

	if (!live_on(packet) || !readdress(skb, packet, &to))
		return refuse();
	if (count)
		count->to_client += 1;
	return send_to(to.destination);
}

SEC("tcx/ingress")
int at_entry(struct __sk_buff *skb)
{
	struct packet packet = {};
	const struct flow *flow = &packet.flow;
	enum kind kind = skb->pkt_type == PACKET_HOST ? read_packet(skb, 0, &packet) : OTHER;
	const struct end *client;

	if (kind == OTHER)
		return NEXT;
	if (flow->destination == config.service.address) {
		if (kind == PIECE)
			return refuse();
		return flow->destination_port == config.service.port ? to_endpoint(skb, &packet) : NEXT;
	}
	if (config.dsr || kind == PIECE || flow->destination != config.node)
		return NEXT;
	client = bpf_map_lookup_elem(&replies, flow);
	return client ? to_client(skb, &packet, client) : NEXT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
