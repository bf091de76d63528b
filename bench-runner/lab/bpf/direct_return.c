/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The endpoint's node under direct server return: it learns from a packet's IP option which address the client asked
 * for, takes the option off, and lets the replies leave with that address, straight to the client.
 */
#include "north_south.h"

/* As replies leave the endpoint, to what the client asked for. The oldest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow);
	__type(value, struct end);
} asked SEC(".maps");

static __always_inline int learn(const struct packet *packet)
{
	const struct option *option = &packet->header.option;
	const struct flow *flow = &packet->flow;
	struct end service = { .address = option->address, .port = option->port };
	struct flow reply = {
		.source = flow->destination,
		.source_port = flow->destination_port,
		.destination = flow->source,
		.destination_port = flow->source_port,
		.protocol = flow->protocol,
	};
	const struct end *known = bpf_map_lookup_elem(&asked, &reply);

	if (known && known->address == service.address && known->port == service.port)
		return 1;
	return !bpf_map_update_elem(&asked, &reply, &service, BPF_ANY);
}

SEC("tcx/ingress")
int to_pods(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct header *header = &packet.header;

	if (read_packet(skb, sizeof(struct option), &packet) != PACKET)
		return NEXT;
	if (header->option.type != OPTION || header->option.length != sizeof(struct option))
		return NEXT;
	/* A reply with the endpoint's own address would only confuse the client. */
	if (!learn(&packet) || bpf_skb_adjust_room(skb, -(__s32)sizeof(struct option), BPF_ADJ_ROOM_NET, 0))
		return DROP;
	packet.options = 0;
	header->ip.ihl -= sizeof(struct option) / 4;
	header->ip.tot_len = bpf_htons(bpf_ntohs(header->ip.tot_len) - sizeof(struct option));
	return write_header(skb, &packet) ? NEXT : DROP;
}

SEC("tcx/egress")
int from_pods(struct __sk_buff *skb)
{
	struct packet packet = {};
	const struct end *service;
	struct flow to;

	if (read_packet(skb, 0, &packet) != PACKET)
		return NEXT;
	service = bpf_map_lookup_elem(&asked, &packet.flow);
	if (!service)
		return NEXT;
	to = packet.flow;
	to.source = service->address;
	to.source_port = service->port;
	return readdress(skb, &packet, &to) ? NEXT : DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
