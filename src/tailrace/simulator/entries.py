"""A trade -> its JSON, byte for byte in the node's order of fields. Written by hand: one f-string per entry."""

from __future__ import annotations

from random import Random

from tailrace.simulator.chain import Block, iso
from tailrace.simulator.market import ZERO_HASH, Coin, Dust, Order, Trade

_TID_BITS = (1 << 50) - 1
_TID_FACTOR = 0x2545F4914F6CDD1D  # odd: a bijection of 50 bits, so that different trades have different tids

ODD_NAMES = ("清算所", "Müller & Söhne", "🐋 whale", "東京")
"""Strings of two to four bytes a character, in a field nobody announced ("fields are added without notice")."""


def decimal(value: float) -> str:
    """At most ten decimals without trailing zeros, at least one, never an exponent: the node's way (seen).

    Large floats show their noise so, as real ones do: 1107212.21564 is "1107212.2156400001".
    """
    text = f"{value:.10f}".rstrip("0")
    return text + "0" if text[-1] == "." else text


class TradeEntries:
    """node_trades: one entry a trade."""

    per_trade = 1

    def __init__(self, rng: Random, users: list[str]) -> None:
        self._rng = rng
        self._users = users

    def render(self, block: Block) -> list[str]:
        if not block.trades:
            return []
        time, users, random = iso(block.time_ns), self._users, self._rng.random
        entries = []
        for coin, buys, px, sz, digest, override, buyer, bought, seller, sold in block.trades:
            extra = f',"note":"{self._rng.choice(ODD_NAMES)}"' if random() < 0.0005 else ""
            entries.append(
                f'{{"coin":"{coin.name}","side":"{"B" if buys else "A"}","time":"{time}","px":"{decimal(px)}",'
                f'"sz":"{decimal(sz)}","hash":"{digest}","trade_dir_override":{override},"side_info":['
                f'{{"user":"{users[buyer.user]}","start_pos":"{decimal(bought)}","oid":{buyer.oid},'
                f'"twap_id":{buyer.twap},"cloid":{buyer.cloid}}},'
                f'{{"user":"{users[seller.user]}","start_pos":"{decimal(sold)}","oid":{seller.oid},'
                f'"twap_id":{seller.twap},"cloid":{seller.cloid}}}]{extra}}}'
            )
        return entries


class FillEntries:
    """node_fills: two entries a trade, buyer first, one tid; and dust conversions with tid 0."""

    per_trade = 2

    def __init__(self, rng: Random, users: list[str]) -> None:
        self._rng = rng
        self._users = users

    def render(self, block: Block) -> list[str]:
        milliseconds = block.time_ns // 1_000_000
        entries: list[str] = []
        for index, trade in enumerate(block.trades):
            # Unique in the chain: a block holds fewer than 2**14 trades; never 0, which is dust.
            tid = ((block.number << 14 | index) * _TID_FACTOR & _TID_BITS) or _TID_BITS
            liquidation = self._liquidation(trade)
            entries.append(self._fill(trade, True, milliseconds, tid, liquidation))
            entries.append(self._fill(trade, False, milliseconds, tid, liquidation))
        if block.dust is not None:
            entries += self._dust(block.dust, milliseconds)
        return entries

    def _fill(self, trade: Trade, buyer: bool, milliseconds: int, tid: int, liquidation: str) -> str:
        random = self._rng.random
        coin, crossed = trade.coin, trade.buys == buyer
        order, start = (trade.buyer, trade.buyer_start) if buyer else (trade.seller, trade.seller_start)
        notional = trade.px * trade.sz
        closing = start < 0 if buyer else start > 0
        pnl = decimal(round(notional * (random() - 0.5) * 0.01, 6)) if closing else "0.0"
        fee, token = _fee(coin, buyer, crossed, order, notional, trade.sz)
        dice = random()
        built = crossed and dice < 0.04
        deployer = f'"deployerFee":"{decimal(round(notional * 0.00005, 6))}",' if ":" in coin.name else ""
        return (
            f'["{self._users[order.user]}",{{"coin":"{coin.name}","px":"{decimal(trade.px)}","sz":"{decimal(trade.sz)}",'
            f'"side":"{"B" if buyer else "A"}","time":{milliseconds},"startPosition":"{decimal(start)}",'
            f'"dir":"{_direction(trade, buyer, start)}","closedPnl":"{pnl}","hash":"{trade.hash}","oid":{order.oid},'
            f'"crossed":{"true" if crossed else "false"},"fee":"{fee}",'
            + (f'"builderFee":"{decimal(round(notional * 0.0001, 6))}",' if built else "")
            + deployer
            + f'"tid":{tid},'
            + (f'"cloid":{order.cloid},' if order.cloid != "null" else "")
            + liquidation
            + f'"feeToken":"{token}"'
            + (f',"builder":"{self._users[1 + order.oid % 7]}"' if built else "")
            + (f',"twapId":{order.twap}' if dice < 0.97 or order.twap != "null" else "")
            + (f',"note":"{self._rng.choice(ODD_NAMES)}"' if random() < 0.0005 else "")
            + "}]"
        )

    def _liquidation(self, trade: Trade) -> str:
        if "Liquidated" not in trade.override:
            return ""
        user = self._users[(trade.buyer if trade.buys else trade.seller).user]
        method = "backstop" if "Backstop" in trade.override else "market"
        mark = decimal((trade.coin.ticks + 3) / trade.coin.price_scale)
        return f'"liquidation":{{"liquidatedUser":"{user}","markPx":"{mark}","method":"{method}"}},'

    def _dust(self, dust: Dust, milliseconds: int) -> list[str]:
        px = decimal(dust.px)
        return [
            f'["{self._users[user]}",{{"coin":"{dust.coin.name}","px":"{px}","sz":"{decimal(size)}","side":"A",'
            f'"time":{milliseconds},"startPosition":"{decimal(size)}","dir":"Spot Dust Conversion",'
            f'"closedPnl":"{decimal(round(-size * dust.px * 0.1, 8))}","hash":"{ZERO_HASH}","oid":{dust.oid},'
            f'"crossed":true,"fee":"0.0","tid":0,"feeToken":"USDC","twapId":null}}]'
            for user, size in dust.users
        ]


Entries = TradeEntries | FillEntries


def _fee(coin: Coin, buyer: bool, crossed: bool, order: Order, notional: float, size: float) -> tuple[str, str]:
    """Fee and its token. Takers pay 4.5 basis points, makers 1.5, the big makers get 0.3 back (negative)."""
    share = 0.00045 if crossed else (-0.00003 if order.user < 40 else 0.00015)
    if coin.spot and buyer and not (share < 0):
        return decimal(round(size * share, 10)), coin.base
    return decimal(round(notional * share, 6)), "USDC"


def _direction(trade: Trade, buyer: bool, start: float) -> str:
    if trade.coin.spot:
        return "Buy" if buyer else "Sell"
    end = start + (trade.sz if buyer else -trade.sz)
    if "Liquidated" in trade.override and trade.buys == buyer:
        return "Liquidated Cross Short" if buyer else "Liquidated Cross Long"
    if start * end < 0:
        return "Short > Long" if buyer else "Long > Short"
    if buyer:
        return "Close Short" if start < 0 else "Open Long"
    return "Close Long" if start > 0 else "Open Short"
